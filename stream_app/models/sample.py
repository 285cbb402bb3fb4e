"""Rows for the admission check: deterministic, without dice, of what the definition declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import sin
from typing import Any

import msgspec

from stream_app.models.question import Question

ROWS = 240  # past the grace period of River's trees, so that they split
AFTER = 60  # rows that a model and its stored copy learn alike
COLORS = ("red", "green", "blue")
WORDS = ("low", "middle", "high")
Row = dict[str, Any]
Lessons = list[tuple[Row, Any]]


class Terms(msgspec.Struct):
    """What of a definition decides the sample; `types` maps feature names to number, string or bool.

    `classes` are the declared ones, `rows` the definition's own sample rows.
    """

    question: Question
    weighted: bool = False
    types: Mapping[str, str] = {}
    classes: Sequence[Any] = ()
    rows: Sequence[Mapping[str, Any]] = ()


def samples(terms: Terms, *, counts: bool = False) -> Iterator[tuple[Lessons, Lessons]]:
    """Labelled rows, and those that come after them: the definition's own; else of its types, or numbers
    alone and with a string. Strings are of three colors, then never the same.

    `counts`: with whole numbers from 0 to 8, for models that take no others.
    """
    if terms.rows and not counts:
        own = [
            (dict(terms.rows[i % len(terms.rows)]), label_of(terms, wave(i, 0))) for i in range(ROWS + AFTER)
        ]
        yield own[:ROWS], own[ROWS:]
    if terms.rows:
        return
    numbers = dict.fromkeys("abcd", "number")
    kinds: list[Mapping[str, str]] = [terms.types] if terms.types else [numbers, {**numbers, "s": "string"}]
    for types in kinds:
        for many in (False, True) if "string" in types.values() else (False,):
            made = sample(terms, types, counts=counts, many=many)
            yield made[:ROWS], made[ROWS:]


def sample(terms: Terms, types: Mapping[str, str], *, counts: bool = False, many: bool = False) -> Lessons:
    """Rows of incommensurable sines, with a change of concept in the middle; numbers are 0 to 8 as counts,
    `many` strings never the same.
    """
    rows: Lessons = []
    for i in range(ROWS + AFTER):
        text = f"{i * 7_919:x}" if many else COLORS[i % 3]
        waves = [wave(i, place) for place in range(len(types))]
        row: Row = {}
        for (name, kind), value in zip(types.items(), waves, strict=True):
            if kind == "number":
                row[name] = round(4 + 4 * value) if counts else value
            else:
                row[name] = value > 0 if kind == "bool" else text
        score = waves[0] - 0.5 * waves[-1] if i < ROWS // 2 else waves[-1] - waves[0]
        rows.append((row, label_of(terms, score)))
    return rows


def wave(i: int, place: int) -> float:
    """The i-th value of a feature, from −1 to 1."""
    return sin(i * (0.37 + 0.61 * place) + place)


def label_of(terms: Terms, score: float) -> Any:
    """The label of a row whose features add up to a score of about −1.5 to 1.5."""
    task = terms.question.task
    if task == "regression":
        return 3 * score
    if task == "multiclass":
        classes = terms.classes or WORDS
        place = 0 if score < -0.4 else 1 if score < 0.4 else 2
        return classes[place * (len(classes) - 1) // 2]
    return terms.classes[score > 0] if terms.classes else score > 0
