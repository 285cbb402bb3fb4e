"""Rows of files: columns typed, fields that are empty left out, mistakes told by line."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pytest

from stream_app.cli.produce.files import read_rows
from stream_app.errors import UsageError


def rows_of(tmp_path: Path, text: str, name: str = "rows.csv", **types: str) -> list[dict[str, Any]]:
    """The rows of a file with this text."""
    file = tmp_path / name
    file.write_bytes(text.encode())
    return read_rows(file, types)


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        (["1", "2", "-3"], [1, 2, -3]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1e3", ".5", "+2"], [1000.0, 0.5, 2.0]),
        (["true", "FALSE"], [True, False]),
        (["true", "1"], ["true", "1"]),
        (["007", "042"], ["007", "042"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["1", "x"], ["1", "x"]),
        (["1e999", "1"], ["1e999", "1"]),
        (["١", "2"], ["١", "2"]),
        ([" 1", "2"], [" 1", "2"]),
    ],
)
def test_a_column_has_the_narrowest_type_of_all_its_values(
    tmp_path: Path, fields: list[str], values: list[Any]
) -> None:
    """One value decides for all, so that a feature keeps one type; what looks like a name stays a string."""
    rows = rows_of(tmp_path, "a\n" + "\n".join(fields) + "\n")
    assert [row["a"] for row in rows] == values
    assert [type(row["a"]) for row in rows] == [type(value) for value in values]


def test_empty_fields_and_nan_are_left_out(tmp_path: Path) -> None:
    """A feature may be absent; null and NaN may not be sent."""
    rows = rows_of(tmp_path, "a,b,c\n1,,x\nNaN,2.5,nan\n3,,\n")
    assert rows == [{"a": 1, "c": "x"}, {"b": 2.5, "c": "nan"}, {"a": 3}]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (["1.5"] * 9 + ["abc"], "row 9 has 'abc' in column a, whose other values are numbers"),
        (["true", "False"] * 4 + ["maybe"], "row 8 has 'maybe' in column a, whose other values are true or"),
    ],
)
def test_a_few_mistakes_do_not_make_strings_of_a_column(tmp_path: Path, fields: list[str], told: str) -> None:
    """The cell is named, with the way to say that strings are meant; then they are."""
    text = "a\n" + "\n".join(fields) + "\n"
    with pytest.raises(UsageError, match=told) as caught:
        rows_of(tmp_path, text)
    assert "--types a=string" in caught.value.remedy
    assert [row["a"] for row in rows_of(tmp_path, text, a="string")] == fields


def test_a_row_with_too_few_fields_is_refused(tmp_path: Path) -> None:
    """It may have lost any of them; an empty field says that there is no value."""
    with pytest.raises(UsageError, match="line 3 has fewer fields"):
        rows_of(tmp_path, "a,b\n1,2\n3\n")


def test_types_overrule_what_the_file_looks_like(tmp_path: Path) -> None:
    """A number column may be named a string, and a column with leading zeros a number."""
    rows = rows_of(
        tmp_path, "zip,flag,n\n12,true,007\n34,false, 8\n", zip="string", flag="string", n="number"
    )
    assert rows == [{"zip": "12", "flag": "true", "n": 7.0}, {"zip": "34", "flag": "false", "n": 8.0}]


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    """Nothing is inferred where the format has types; empty lines are skipped."""
    rows = rows_of(tmp_path, '{"a": "1", "b": true}\n\n{"a": 1.0}\n', "rows.jsonl")
    assert rows == [{"a": "1", "b": True}, {"a": 1.0}]


def test_compressed_files_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    """The name's endings tell the format."""
    text = "\ufeffa\n1\n".encode()
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(text))
    archive = tmp_path / "rows.csv.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("rows.csv", text)
    assert read_rows(packed, {}) == read_rows(archive, {}) == [{"a": 1}]


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    """A mistake behind the limit does no harm."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n{"a": 2}\nnot json\n')
    assert read_rows(file, {}, 2) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.txt", b"a", "neither .csv nor .jsonl"),
        ("rows.jsonl", b'{"a": 1}\n{"a": NaN}\n', "line 2"),
        ("rows.jsonl", b"[1]\n", "line 1 is not an object"),
        ("rows.csv", b"a,a\n1,2\n", "twice"),
        ("rows.csv", b"a,b\n1,2\n1,2,3\n", "line 3"),
        ("rows.csv", b"a\n\xff\n", "cannot be read"),
        ("rows.csv.gz", b"no gzip", "cannot be read"),
        ("rows.csv.gz", gzip.compress(b"a\n1\n" * 999, mtime=0)[:-20], "cannot be read"),
        ("rows.csv.zip", b"no zip", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_with_its_place(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    """Nothing is produced from a file that is not whole."""
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_rows(file, {})
    assert told in caught.value.message
    assert caught.value.remedy


def test_a_value_that_is_not_of_its_named_type_is_refused(tmp_path: Path) -> None:
    """--types is a promise, not a hint; so is the set of types."""
    with pytest.raises(UsageError, match="column a has values that are not of type number"):
        rows_of(tmp_path, "a\n1\nx\n", a="number")
    with pytest.raises(UsageError, match="unknown type"):
        rows_of(tmp_path, "a\n1\n", a="integer")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The path is told."""
    with pytest.raises(UsageError, match="there is no file"):
        read_rows(tmp_path / "none.csv", {})
