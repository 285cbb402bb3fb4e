"""The columns of a table of texts: numbers, booleans or strings, as all values of a column allow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stream_app.errors import UsageError
from stream_app.inputs.paths import leaves

Row = dict[str, Any]
ABSENT = object()
# What pandas and spreadsheets write where a value is missing. In a column of strings they are missing too,
# unless --types says that strings are meant.
MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "+nan", "-nan", "null", "none", "nil"}
DASH = "-"  # missing in a column of numbers
BOOLEANS = {"true": True, "false": False}
ANSWERS = {"yes": True, "no": False}
DIGITS = {"1": True, "0": False, "1.0": True, "0.0": False}  # booleans only where somebody says so
# As a person writes a number. "007", "1_000" and 20 digits are names of something, so they stay strings.
INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
DECIMAL = re.compile(r"[+-]?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MOSTLY = 0.8  # of a column's values that are numbers: the others are mistakes, and no person said otherwise
TYPES = ("number", "string", "bool")


@dataclass(frozen=True)
class Numbers:
    """How numbers are written: the sign before decimals, and that between groups of three digits."""

    decimal: str = "."
    group: str = ""

    def plain(self, text: str) -> str:
        """The same number as Python writes it; a text that is not written so stays as it is."""
        if self == PLAIN or not self.pattern.fullmatch(text):
            return text
        return (
            text.replace(self.group, "").replace(self.decimal, ".") if self.group else text.replace(",", ".")
        )

    @property
    def pattern(self) -> re.Pattern[str]:
        """What is written so, and not otherwise."""
        decimals = rf"({re.escape(self.decimal)}\d+)?"
        if not self.group:
            return re.compile(rf"[+-]?\d+{decimals}", re.ASCII)
        return re.compile(rf"[+-]?(\d{{1,3}}({re.escape(self.group)}\d{{3}})+|\d+){decimals}", re.ASCII)


PLAIN = Numbers()


class Column(NamedTuple):
    """What a column was taken for; `note` says what a person may not expect."""

    name: str
    kind: str
    missing: int
    different: int
    note: str = ""

    @property
    def text(self) -> str:
        """One line for a person."""
        parts = [f"string, {self.different} different" if self.kind == "string" else self.kind]
        parts += [f"{self.missing} missing"] if self.missing else []
        return ", ".join([*parts, *([self.note] if self.note else [])])


def convert(rows: Sequence[Row], name: str, kind: str | None, ways: Sequence[Numbers]) -> Column:
    """Turn one column's texts into values, in place; missing ones are taken out of their rows.

    `ways` are how its numbers may be written, the likeliest first.

    Raises:
        UsageError: its values are not of the type that was named, or a few of them look like mistakes.
    """
    if kind is not None and kind not in TYPES:
        raise UsageError(f"unknown type {kind!r}", "Types are number, string and bool")
    texts = {row[name] for row in rows if name in row}
    for what, make, note in makers(kind, ways):
        if kind is None and what == "string":
            refuse_mistakes(rows, name, ways)
        try:
            values = {text: make(text) for text in texts}
        except ValueError:
            continue
        missing = 0
        for row in rows:
            value = values.get(row.get(name, ""), ABSENT)
            if value is not ABSENT:
                row[name] = value
                continue
            missing += 1
            row.pop(name, None)
        return Column(name, what, missing, len(set(values.values()) - {ABSENT}), note)
    raise UsageError(
        f"column {name} has values that are not of type {kind}", "Give another type with --types"
    )


def makers(kind: str | None, ways: Sequence[Numbers]) -> list[tuple[str, Callable[[str], Any], str]]:
    """Kinds with the function that makes a value of a text, in the order in which they are tried."""
    found: list[tuple[str, Callable[[str], Any], str]] = []
    if kind in (None, "bool"):
        found.append(("bool", one_of(BOOLEANS), ""))
        found.append(("bool", one_of(ANSWERS), "yes and no"))
    if kind == "bool":
        found.append(("bool", one_of({**BOOLEANS, **ANSWERS, **DIGITS}), ""))
    if kind in (None, "number"):
        for way in ways:
            note = "" if way == PLAIN else f"as in 1{way.group}234{way.decimal}5"
            found += [
                ("number", numeric(INTEGER, int, way), note),
                ("number", numeric(DECIMAL, finite, way), note),
            ]
    if kind == "number":  # leading zeros are no reason against it, once somebody says so
        found.append(("number", numeric(None, finite, PLAIN), ""))
    if kind is None:
        found.append(("string", present, ""))
    if kind == "string":
        found.append(("string", lambda text: text or ABSENT, ""))
    return found


def one_of(words: Mapping[str, bool]) -> Callable[[str], Any]:
    """Make booleans of words; ValueError for others."""

    def make(text: str) -> Any:
        if text.lower() in MISSING:
            return ABSENT
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]

    return make


def numeric(
    pattern: re.Pattern[str] | None, make: Callable[[str], Any], way: Numbers
) -> Callable[[str], Any]:
    """Make numbers of texts that are written in a way; ValueError for others."""

    def number(text: str) -> Any:
        if text.lower() in MISSING or text == DASH:
            return ABSENT
        plain = way.plain(text)
        if pattern is not None and not pattern.fullmatch(plain):
            raise ValueError(text)
        return make(plain)

    return number


def finite(text: str) -> float:
    """A finite float, or ValueError."""
    value = float(text)
    if value - value != 0:
        raise ValueError(text)
    return value


def present(text: str) -> Any:
    """The text, unless it says that there is none."""
    return ABSENT if text.lower() in MISSING else text


def refuse_mistakes(rows: Sequence[Row], name: str, ways: Sequence[Numbers]) -> None:
    """A column becomes one of strings: not by a few values that are none of what all the others are.

    Raises:
        UsageError: one cell would turn every number of its column into a string.
    """
    numbers = [numeric(None, finite, way) for way in ways]
    for what, tried in (("numbers", numbers), ("true or false", [one_of(BOOLEANS)])):
        odd, n = {}, 0
        for number, row in enumerate(rows):
            text = row.get(name, "")
            if text.lower() in MISSING:
                continue
            n += 1
            if not any(makes(make, text) for make in tried):
                odd[number] = text
        if 0 < len(odd) <= (1 - MOSTLY) * n:
            number, text = next(iter(odd.items()))
            raise UsageError(
                f"row {number} has {text!r} in column {name}, whose other values are {what}",
                f"Correct it or leave it empty; if strings are meant, give --types {name}=string",
            )


def makes(make: Callable[[str], Any], text: str) -> bool:
    """Whether a value can be made of a text."""
    try:
        make(text)
    except ValueError:
        return False
    return True


def flat(row: dict[str, Any]) -> Row:
    """A row with dotted columns for what its objects hold, without nulls."""
    found: Row = {}
    twice = leaves(row, set(), found)
    if twice is not None:
        raise UsageError(
            f"a row has two fields called {twice!r}, one of them with a dot in its name", "Rename one of them"
        )
    return {name: value for name, value in found.items() if value is not None}
