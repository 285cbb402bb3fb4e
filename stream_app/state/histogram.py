"""Counts of observations by upper bound, as Prometheus wants them."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

import msgspec

from topics.records import HistogramStats


class Histogram(msgspec.Struct):
    """`n` counts the observations within each bound `le` and above the one before; its last, those above all.

    `sum` is in the bounds' unit. The bounds are stored beside the counts: other bounds start at zero.
    """

    le: tuple[float, ...]
    n: list[int] = []
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.n = self.n or [0] * (len(self.le) + 1)

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.n[bisect_left(self.le, value)] += 1
        self.sum += value

    def report(self) -> HistogramStats:
        """Cumulative counts, as a record of statistics holds them."""
        return HistogramStats(list(self.le), list(accumulate(self.n)), self.sum)
