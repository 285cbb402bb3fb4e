"""Rows of CSV and JSON-lines files, typed by column, stamped and put in the order of time."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec
import orjson

from stream_app.errors import UsageError

STEP_MS = 2  # events are 2 ms apart, so that a label fits strictly between two of them
BOOLEANS = {"true": True, "false": False}


class Stamped(msgspec.Struct):
    """One record to produce: an event, or the label of row `row`."""

    time_ms: int
    row: int
    is_label: bool


def open_text(path: Path) -> TextIO:
    """Open .csv, .jsonl, either with .gz, or the only member of a .zip."""
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="")
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        return io.TextIOWrapper(archive.open(archive.namelist()[0]), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def read_rows(path: Path, types: Mapping[str, str], limit: int | None = None) -> list[dict[str, Any]]:
    """All rows; a CSV column is boolean, number or string as all its values allow, or as `types` says.

    Raises:
        UsageError: no such file, another format, or a value that does not fit its column's type.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "Name a .csv or .jsonl file (.gz and .zip are read too)")
    names = path.name.split(".")[1:]
    with open_text(path) as text:
        if "jsonl" in names or "ndjson" in names:
            rows = list(json_rows(text, path, limit))
        elif "csv" in names:
            rows = [row for row, _ in zip(csv.DictReader(text), range(limit or 1 << 62), strict=False)]
            for column in list(rows[0]) if rows else []:
                convert(rows, column, types.get(column))
        else:
            raise UsageError(f"{path.name} is neither .csv nor .jsonl", "Convert it, or name it by its format")
    return rows


def json_rows(text: TextIO, path: Path, limit: int | None) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text):
        if limit is not None and number >= limit:
            return
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{path.name} line {number + 1} is no JSON: {error}", "Write one object per line") from error
        if not isinstance(row, dict):
            raise UsageError(f"{path.name} line {number + 1} is no object", "Write one JSON object per line")
        yield row


def convert(rows: list[dict[str, Any]], column: str, kind: str | None) -> None:
    """Turn one column's texts into booleans, numbers or strings, in place. Empty fields are left out."""
    values = [row[column] for row in rows if row.get(column) not in (None, "")]
    for maker in makers(kind):
        try:
            converted = {value: maker(value) for value in set(values)}
        except ValueError:
            continue
        for row in rows:
            if row.get(column) in (None, ""):
                row.pop(column, None)
            else:
                row[column] = converted[row[column]]
        return
    raise UsageError(f"column {column} has values that are no {kind}", "Give another type with --types")


def makers(kind: str | None) -> list[Any]:
    known = {"bool": [boolean], "number": [int, number], "string": [str], None: [boolean, int, number, str]}
    if kind not in known:
        raise UsageError(f"unknown type {kind!r}", "Types are number, string and bool")
    return known[kind]


def boolean(text: str) -> bool:
    try:
        return BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def number(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(text)
    return value


def schedule(
    n: int, now_ms: int, *, times: list[int] | None, labels: bool, delay_rows: int | None, delay_ms: int | None
) -> Iterator[Stamped]:
    """Every event and label in order of time.

    Without `times`, event i is stamped t0 + 2i ms with t0 = now − 2n ms. A label `delay_rows` = N late is stamped 1 ms
    before event i + N, which is what River's `progressive_val_score(delay=N)` means; one `delay_ms` late that much
    after its event.
    """
    start_ms = now_ms - STEP_MS * n
    stamps = times if times is not None else [start_ms + STEP_MS * i for i in range(n)]
    order = sorted(range(n), key=stamps.__getitem__) if times is not None else range(n)
    records = [Stamped(stamps[row], row, False) for row in order]
    if labels:
        last_ms = records[-1].time_ms if records else now_ms
        for place, event in enumerate(list(records)):
            if delay_ms is not None:
                due_ms = event.time_ms + delay_ms
            else:
                reveal = place + (delay_rows or 0)
                due_ms = records[reveal].time_ms if reveal < n else last_ms + STEP_MS * (reveal - n + 1)
                due_ms -= 1
            records.append(Stamped(due_ms, event.row, True))
        records.sort(key=lambda record: (record.time_ms, record.is_label))
    yield from records
