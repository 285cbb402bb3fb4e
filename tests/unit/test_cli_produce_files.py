"""Rows of files: columns typed, fields that are empty left out, mistakes told by line."""

from __future__ import annotations

import gzip
import math
import sys
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import Table  # type: ignore[import-untyped]
from pyarrow.parquet import write_table  # type: ignore[import-untyped]

from stream_app.cli.produce.files import Dialect, read_table
from stream_app.errors import UsageError


def rows_of(tmp_path: Path, text: str, name: str = "rows.csv", **types: str) -> list[dict[str, Any]]:
    """The rows of a file with this text."""
    file = tmp_path / name
    file.write_bytes(text.encode())
    return read_table(file, types).rows


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
        ([" 1", "2"], [1, 2]),
        (["yes", "No"], [True, False]),
        (["yes", "maybe"], ["yes", "maybe"]),
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
    assert rows == [{"a": 1, "c": "x"}, {"b": 2.5}, {"a": 3}]


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
    assert read_table(packed, {}).rows == read_table(archive, {}).rows == [{"a": 1}]


def test_parquet_says_itself_what_its_columns_are(tmp_path: Path) -> None:
    """Nulls and NaN are left out, moments are ISO 8601, decimals numbers, structures dotted columns."""
    file, at = tmp_path / "rows.parquet", datetime(2026, 11, 30, 12, tzinfo=UTC)
    rows = [
        {"n": 1, "x": 1.5, "s": "a", "b": True, "at": at, "d": Decimal("2.50"), "geo": {"lat": 52.5}},
        {"n": None, "x": math.nan, "s": None, "b": None, "at": None, "d": None, "geo": {"lat": None}},
    ]
    write_table(Table.from_pylist(rows), file)
    table = read_table(file, {})
    first = {"n": 1, "x": 1.5, "s": "a", "b": True, "at": "2026-11-30T12:00:00+00:00", "d": 2.5}
    assert table.rows == [{**first, "geo.lat": 52.5}, {}]
    kinds = {column.name: column.kind for column in table.columns}
    assert (kinds["n"], kinds["s"], kinds["b"], kinds["geo.lat"]) == ("number", "string", "bool", "number")
    assert read_table(file, {}, 1).rows == table.rows[:1]


def test_without_pyarrow_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: nobody else needs its size."""
    (tmp_path / "rows.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError) as caught:
        read_table(tmp_path / "rows.parquet", {})
    assert "stream-app[parquet]" in caught.value.remedy


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    """A mistake behind the limit does no harm."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n{"a": 2}\nnot json\n')
    assert read_table(file, {}, 2).rows == [{"a": 1}, {"a": 2}]


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
        ("rows.parquet", b"no parquet", "cannot be read"),
        ("rows.parquet.gz", b"no parquet", "neither .csv nor .jsonl"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_with_its_place(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    """Nothing is produced from a file that is not whole."""
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_table(file, {})
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
        read_table(tmp_path / "none.csv", {})


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("idx.csv", ",shop,size\n0,A,42\n1,B,35\n", [{"shop": "A", "size": 42}, {"shop": "B", "size": 35}]),
        (
            "na.csv",
            "shop,size\nA,42\nB,NA\nC,N/A\nD,null\nE,-\n",
            [{"shop": "A", "size": 42}, *({"shop": s} for s in "BCDE")],
        ),
        ("spaces.csv", "shop, size\nA, 42\n", [{"shop": "A", "size": 42}]),
        (
            "thousands.csv",
            'shop,rent\nA,"1,250.50"\nB,980.00\nC,"2,100.75"\n',
            [{"shop": s, "rent": r} for s, r in (("A", 1250.5), ("B", 980.0), ("C", 2100.75))],
        ),
        (
            "semi.csv",
            "shop;rent;n\nA;1.250,50;1\nB;980,00;2\n",
            [{"shop": "A", "rent": 1250.5, "n": 1}, {"shop": "B", "rent": 980.0, "n": 2}],
        ),
        ("tabs.tsv", "shop\tsize\nA\t4\n", [{"shop": "A", "size": 4}]),
        ("pipe.csv", "shop|size\nA|4\n", [{"shop": "A", "size": 4}]),
        (
            "yesno.csv",
            "shop,bought\nA,yes\nB,no\n",
            [{"shop": "A", "bought": True}, {"shop": "B", "bought": False}],
        ),
        (
            "null.jsonl",
            '{"shop":"A","rent":null}\n{"shop":"B","rent":1.5}\n',
            [{"shop": "A"}, {"shop": "B", "rent": 1.5}],
        ),
        (
            "nested.jsonl",
            '{"shop":"A","geo":{"lat":1.5,"lon":2}}\n',
            [{"shop": "A", "geo.lat": 1.5, "geo.lon": 2}],
        ),
    ],
)
def test_a_file_is_read_as_its_writer_meant_it(
    tmp_path: Path, name: str, text: str, rows: list[dict[str, Any]]
) -> None:
    """As pandas, spreadsheets of Europe and America, and databases write them."""
    assert rows_of(tmp_path, text, name) == rows


def test_a_persons_word_decides_how_a_file_is_written(tmp_path: Path) -> None:
    """Delimiter, decimal sign and groups may be named where the file is not clear."""
    file = tmp_path / "odd.csv"
    file.write_text("a,b;n\n1;1.234\n2;5.678\n")
    assert read_table(file, {}, dialect=Dialect(";")).rows == [{"a,b": 1, "n": 1.234}, {"a,b": 2, "n": 5.678}]
    european = Dialect(";", ",", ".")
    rows = [{"a,b": 1, "n": 1.234}, {"a,b": 2, "n": 5.678}]
    assert read_table(file, {}, dialect=european).rows == rows, "a plain number is read first"
    file.write_text("n\n1 234,5\n2\n")
    assert read_table(file, {}, dialect=Dialect(decimal=",", thousands=" ", delimiter=";")).rows == [
        {"n": 1234.5},
        {"n": 2.0},
    ]


def test_a_table_says_what_each_column_was_taken_for(tmp_path: Path) -> None:
    """Also what a person may not expect: groups of digits, missing values, a column that numbers the rows."""
    file = tmp_path / "homes.csv"
    file.write_text(';shop;rent;sold\n0;A;"1.250,50";yes\n1;B;;no\n2;A;980;yes\n')
    table = read_table(file, {})
    assert [(column.name, column.text) for column in table.columns] == [
        ("shop", "string, 2 different"),
        ("rent", "number, 1 missing, as in 1.234,5"),
        ("sold", "bool, yes and no"),
    ]
    assert "the first column has no name and is left out: it numbers the rows" in table.notes


def test_texts_that_json_calls_texts_become_numbers_only_by_order(tmp_path: Path) -> None:
    """JSON carries types; `--types` turns a column of texts into another."""
    text = '{"size":"42"}\n{"size":"35.5"}\n'
    assert rows_of(tmp_path, text, "strnum.jsonl") == [{"size": "42"}, {"size": "35.5"}]
    assert rows_of(tmp_path, text, "strnum.jsonl", size="number") == [{"size": 42.0}, {"size": 35.5}]
