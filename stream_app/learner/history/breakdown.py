"""Where a backtest was good: how true its probabilities are, and its scores by a column's values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.state.pending import PendingRow
from stream_app.state.scores import ClassBlock, ValueBlock

BINS = 10
MOST_VALUES = 12  # of a column; the others are one slice
QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")
OTHERS, ABSENT = "other values", "absent"


class Bin(msgspec.Struct):
    """Predictions whose probability of the positive class was from `low` to `high`.

    `mean` is what they said on average, `share` how many labels were positive.
    """

    low: float
    high: float
    n: int = 0
    mean: float = 0.0
    share: float = 0.0


class Slice(msgspec.Struct):
    """The scores of what was served where a column had a value, or was within a quarter of its numbers."""

    column: str
    value: str
    scores: dict[str, float]


class Breakdown:
    """Hears of each labelled row with the answer that was served."""

    def __init__(self, app: Application, columns: Sequence[str]) -> None:
        self.app, self.columns = app, columns
        self.sums = [[0.0, 0.0, 0.0] for _ in range(BINS)] if app.task == "binary" else []
        self.found: dict[str, list[tuple[Any, Any, Any, Any]]] = {name: [] for name in columns}

    def add(self, row: PendingRow, label: Any) -> None:
        """Take one row in; a cold answer says nothing."""
        prediction, probabilities = row.champion_answer or (None, None)
        if prediction is None:
            return
        positive = self.app.question.positive
        if self.sums and probabilities is not None and positive in probabilities:
            p = probabilities[positive]
            sums = self.sums[min(BINS - 1, int(p * BINS))]
            sums[0] += 1
            sums[1] += p
            sums[2] += label == positive
        for name, rows in self.found.items():
            rows.append((row.row.get(name), label, prediction, probabilities))

    def bins(self) -> list[Bin]:
        """The bins that hold a prediction."""
        return [
            Bin(place / BINS, (place + 1) / BINS, int(n), said / n, came / n)
            for place, (n, said, came) in enumerate(self.sums)
            if n
        ]

    def slices(self) -> list[Slice]:
        """Every column's slices; the most frequent values first, quarters in their order."""
        return [one for name, rows in self.found.items() for one in self.slices_of(name, rows)]

    def slices_of(self, column: str, rows: list[tuple[Any, Any, Any, Any]]) -> list[Slice]:
        """One column's."""
        name_of = names([value for value, *_ in rows])
        blocks: dict[str, Any] = {}
        for value, label, prediction, probabilities in rows:
            name = name_of(value)
            if name not in blocks:
                blocks[name] = ValueBlock() if self.app.task == "regression" else ClassBlock()
            blocks[name].update(label, prediction, probabilities)
        order = [*QUARTERS] if any(name in QUARTERS for name in blocks) else []
        ranked = sorted(blocks, key=lambda name: (name in (OTHERS, ABSENT), -blocks[name].n, name))
        order += [name for name in ranked if name not in order]
        return [Slice(column, name, blocks[name].report()) for name in order if name in blocks]


def names(values: list[Any]) -> Any:
    """How values are named: by themselves, or, of many numbers, by the quarter that they are in."""
    present = [value for value in values if value is not None]
    counts = Counter(map(str, present))
    numeric = all(type(value) in (int, float) for value in present)
    if numeric and len(counts) > MOST_VALUES:
        ranked = sorted(present)
        edges = [ranked[len(ranked) * n // 4] for n in (1, 2, 3)]
        return lambda value: ABSENT if value is None else QUARTERS[sum(value >= edge for edge in edges)]
    kept = {name for name, _ in counts.most_common(MOST_VALUES)}
    return lambda value: ABSENT if value is None else str(value) if str(value) in kept else OTHERS


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """The mean gap between what probabilities said and what came; None without any.

    >>> calibration_error([Bin(0.2, 0.3, 3, 0.25, 0.25), Bin(0.9, 1.0, 1, 1.0, 0.8)])
    0.05
    """
    n = sum(one.n for one in bins)
    return round(sum(one.n * abs(one.mean - one.share) for one in bins) / n, 12) if n else None
