"""Rows of CSV and JSON-lines files, their columns typed."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import orjson

from stream_app.errors import UsageError

Row = dict[str, Any]
ABSENT = object()
BOOLEANS = {"true": True, "false": False}
# As a person writes a number. "007", "1_000" and 20 digits are names of something, so they stay strings.
INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
DECIMAL = re.compile(r"[+-]?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
NOT_A_NUMBER = {"nan", "+nan", "-nan"}
MOSTLY = 0.8  # of a column's values that are numbers: the others are mistakes, and no person said otherwise


def read_rows(path: Path, types: Mapping[str, str], limit: int | None = None) -> list[Row]:
    """All rows (the first `limit`); a CSV column is boolean, number or string as all its values allow.

    `types` (column → number, string or bool) decides where the file misleads. Empty fields are left out,
    and so is NaN in a column of numbers, since JSON cannot carry it.

    Raises:
        UsageError: no such file, another format, or a value that does not fit its column's type.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "Name a .csv or .jsonl file (.gz and .zip are read too)")
    names = path.name.lower().split(".")[1:]
    if not {"csv", "jsonl", "ndjson"} & set(names):
        raise UsageError(f"{path.name} is neither .csv nor .jsonl", "Convert it, or name it by its format")
    read = csv_rows if "csv" in names else json_rows
    try:
        with open_text(path) as text:
            rows = list(islice(read(text, path), limit))
    except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, csv.Error) as error:
        raise UsageError(
            f"{path.name} cannot be read ({error})", "It must be whole, and its text UTF-8"
        ) from error
    if read is csv_rows:
        columns = list(rows[0]) if rows else []
        for column in columns:
            convert(rows, column, types.get(column))
    return rows


def open_text(path: Path) -> TextIO:
    """Open .csv, .jsonl, either with .gz, or the only member of a .zip; a byte order mark is skipped."""
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    if path.suffix.lower() == ".zip":
        archive = zipfile.ZipFile(path)
        members = archive.namelist()
        if len(members) != 1:
            raise UsageError(f"{path.name} holds {len(members)} files", "Put exactly one into it")
        return io.TextIOWrapper(archive.open(members[0]), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def csv_rows(text: TextIO, path: Path) -> Iterator[Row]:
    """Rows by the names of the first line; the values are still text."""
    reader = csv.DictReader(text, restkey="")
    columns = list(reader.fieldnames or [])
    if not columns:
        raise UsageError(f"{path.name} is empty", "Its first line must name the columns")
    if len(set(columns)) < len(columns):
        raise UsageError(f"{path.name} names a column twice", "Give every column a name of its own")
    for row in reader:
        if "" in row and "" not in columns:
            raise UsageError(
                f"{path.name} line {reader.line_num} has more fields than the first line", "Quote its commas"
            )
        if None in row.values():
            raise UsageError(
                f"{path.name} line {reader.line_num} has fewer fields than the first line",
                "Leave a field empty where there is no value",
            )
        yield row


def json_rows(text: TextIO, path: Path) -> Iterator[Row]:
    """One object per line; empty lines are skipped."""
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UsageError(
                f"{path.name} line {number} is not JSON: {error}", "Write one object per line"
            ) from error
        if not isinstance(row, dict):
            raise UsageError(f"{path.name} line {number} is not an object", "Write one JSON object per line")
        yield row


def convert(rows: list[Row], column: str, kind: str | None) -> None:
    """Turn one column's texts into booleans, numbers or strings, in place."""
    if kind not in MAKERS:
        raise UsageError(f"unknown type {kind!r}", "Types are number, string and bool")
    texts = {row[column] for row in rows} - {""}
    for make in MAKERS[kind]:
        if kind is None and make is str:
            refuse_mistakes(rows, column)
        try:
            values = {text: make(text) for text in texts}
        except ValueError:
            continue
        for row in rows:
            value = values.get(row[column], ABSENT)
            if value is ABSENT:
                del row[column]
            else:
                row[column] = value
        return
    raise UsageError(
        f"column {column} has values that are not of type {kind}", "Give another type with --types"
    )


def refuse_mistakes(rows: list[Row], column: str) -> None:
    """A column becomes one of strings: not by a few values that are none of what all the others are.

    Raises:
        UsageError: one cell would turn every number of its column into a string.
    """
    for what, make in (("numbers", finite), ("true or false", boolean)):
        odd, n = {}, 0
        for number, row in enumerate(rows):
            if text := row[column]:
                n += 1
                try:
                    make(text)
                except ValueError:
                    odd[number] = text
        if 0 < len(odd) <= (1 - MOSTLY) * n:
            number, text = next(iter(odd.items()))
            raise UsageError(
                f"row {number} has {text!r} in column {column}, whose other values are {what}",
                f"Correct it or leave it empty; if strings are meant, give --types {column}=string",
            )


def boolean(text: str) -> bool:
    """A bool, or ValueError."""
    try:
        return BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def whole(text: str) -> Any:
    """An int, ABSENT for NaN, or ValueError."""
    if INTEGER.fullmatch(text):
        return int(text)
    return absent(text)


def decimal(text: str) -> Any:
    """A finite float, ABSENT for NaN, or ValueError."""
    if DECIMAL.fullmatch(text):
        return finite(text)
    return absent(text)


def finite(text: str) -> Any:
    """As Python reads it: a column that was called a number may have leading zeros or spaces."""
    value = float(text)
    return value if value - value == 0 else absent(text)


def absent(text: str) -> Any:
    """ABSENT for NaN, or ValueError."""
    if text.strip().lower() in NOT_A_NUMBER:
        return ABSENT
    raise ValueError(text)


MAKERS: dict[str | None, tuple[Callable[[str], Any], ...]] = {
    "bool": (boolean,),
    "number": (whole, decimal, finite),
    "string": (str,),
    None: (boolean, whole, decimal, str),
}
