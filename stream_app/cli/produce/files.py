"""Rows of CSV, JSON-lines and Parquet files as people write them, their columns typed."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import orjson

from stream_app.cli.produce.columns import PLAIN, Column, Numbers, Row, convert, flat
from stream_app.cli.produce.parquet import parquet_rows
from stream_app.errors import UsageError

DELIMITERS = (",", ";", "\t", "|")
GROUPS = {
    ".": (",", " ", "'"),
    ",": (".", " ", "'"),
}  # what may stand between groups of digits, by decimal sign
KINDS = {int: "number", float: "number", str: "string", bool: "bool"}


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written; what is empty is found in the file."""

    delimiter: str = ""
    decimal: str = ""
    thousands: str = ""

    def ways(self, delimiter: str) -> list[Numbers]:
        """How numbers may be written in it, the likeliest first."""
        if self.decimal or self.thousands:
            decimal = self.decimal or ("," if self.thousands == "." else ".")
            return [PLAIN, Numbers(decimal, self.thousands or GROUPS[decimal][0])]
        if delimiter == ",":
            return [PLAIN, Numbers(".", ",")]
        return [PLAIN, Numbers(",", "."), Numbers(".", ",")]


DEFAULT = Dialect()


@dataclass
class Table:
    """A file's rows, what its columns were taken for, and what a person should hear of it."""

    rows: list[Row]
    columns: list[Column] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_table(
    path: Path,
    types: Mapping[str, str],
    limit: int | None = None,
    dialect: Dialect = DEFAULT,
    key: str | None = None,
) -> Table:
    """All rows (the first `limit`); a CSV column is boolean, number or string as all its values allow.

    `types` (column → number, string or bool) decides where the file misleads; the column `key` is one of
    strings unless the file itself has types. What is missing is left out:
    empty fields, null, NA and the like. Objects in JSON become dotted columns.

    Raises:
        UsageError: no such file, another format, or a value that does not fit its column's type.
    """
    if not path.is_file():
        fix = "Name a .csv, .jsonl or .parquet file; the first two also with .gz or .zip"
        raise UsageError(f"there is no file {path}", fix)
    names = path.name.lower().split(".")[1:]
    is_parquet = names[-1:] == ["parquet"]
    if not is_parquet and not {"csv", "tsv", "jsonl", "ndjson"} & set(names):
        raise UsageError(
            f"{path.name} is neither .csv nor .jsonl nor .parquet", "Convert it, or name it by its format"
        )
    if is_parquet:
        return json_table(list(islice(parquet_rows(path), limit)), types)
    try:
        with open_text(path) as text:
            if {"csv", "tsv"} & set(names):
                strings = {} if key is None else {key: "string"}
                return csv_table(text, path.name, {**strings, **types}, limit, dialect)
            return json_table(list(islice(json_rows(text, path.name), limit)), types)
    except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, csv.Error) as error:
        raise UsageError(
            f"{path.name} cannot be read ({error})", "It must be whole, and its text UTF-8"
        ) from error


def open_text(path: Path) -> TextIO:
    """Open a file, also with .gz, or the only member of a .zip; a byte order mark is skipped."""
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    if path.suffix.lower() == ".zip":
        archive = zipfile.ZipFile(path)
        members = archive.namelist()
        if len(members) != 1:
            raise UsageError(f"{path.name} holds {len(members)} files", "Put exactly one into it")
        return io.TextIOWrapper(archive.open(members[0]), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def csv_table(
    text: TextIO, file: str, types: Mapping[str, str], limit: int | None, dialect: Dialect
) -> Table:
    """Rows by the names of the first line, blanks around fields taken away, columns typed."""
    first = text.readline()
    delimiter = dialect.delimiter or max(DELIMITERS, key=first.count)
    reader = csv.reader(chain([first], text), delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    if not any(names):
        raise UsageError(f"{file} is empty", "Its first line must name the columns")
    if len({*names}) < len(names):
        raise UsageError(f"{file} names a column twice", "Give every column a name of its own")
    rows = list(islice(csv_rows(reader, names, file, delimiter), limit))
    table = Table(rows)
    if delimiter != ",":
        table.notes.append(f"fields are separated by {delimiter!r}")
    unnamed = names.index("") if "" in names else None
    if unnamed is not None:
        if unnamed or len({row[""] for row in rows}) < len(rows):
            raise UsageError(f"{file} has no name for column {unnamed + 1}", "Name it in the first line")
        table.notes.append("the first column has no name and is left out: it numbers the rows")
        names.remove("")
        for row in rows:
            del row[""]
    ways = dialect.ways(delimiter)
    table.columns = [convert(rows, name, types.get(name), ways) for name in names]
    return table


def csv_rows(reader: Any, names: list[str], file: str, delimiter: str) -> Iterator[Row]:
    """Rows of texts; empty lines are skipped."""
    for fields in reader:
        if not fields:
            continue
        if len(fields) > len(names):
            raise UsageError(
                f"{file} line {reader.line_num} has more fields than the first line",
                f"Quote its {'commas' if delimiter == ',' else repr(delimiter)}, or give another --delimiter",
            )
        if len(fields) < len(names):
            raise UsageError(
                f"{file} line {reader.line_num} has fewer fields than the first line",
                "Leave a field empty where there is no value",
            )
        yield dict(zip(names, (one.strip() for one in fields), strict=True))


def json_rows(text: TextIO, file: str) -> Iterator[Row]:
    """One object per line; empty lines are skipped."""
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UsageError(
                f"{file} line {number} is not JSON: {error}", "Write one object per line"
            ) from error
        if not isinstance(row, dict):
            raise UsageError(f"{file} line {number} is not an object", "Write one JSON object per line")
        yield flat(row)


def json_table(rows: list[Row], types: Mapping[str, str]) -> Table:
    """Rows with the types that JSON or Parquet gives them; texts of a column become what `types` names."""
    names = dict.fromkeys(name for row in rows for name in row)
    table = Table(rows)
    for name in names:
        if name in types and all(isinstance(row.get(name, ""), str) for row in rows):
            table.columns.append(convert(rows, name, types[name], [PLAIN]))
            continue
        values = [row[name] for row in rows if name in row]
        kinds = {KINDS.get(type(value), "list") for value in values}
        if name in types and kinds != {types[name]}:
            raise UsageError(
                f"column {name} has values that are not of type {types[name]}",
                "JSON lines and Parquet carry their types: only a column of texts can become another one",
            )
        different = len({value for value in values if isinstance(value, str)})
        kind = kinds.pop() if len(kinds) == 1 else "of several types"
        table.columns.append(Column(name, kind, len(rows) - len(values), different))
    return table
