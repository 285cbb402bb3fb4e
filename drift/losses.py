"""What swaps judge: the loss of one answer, within [0, 1]."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import inf, log
from typing import Any

from mypy_extensions import mypyc_attr

LOSSES = ("zero_one", "log", "brier", "absolute")
WORST_LOG = 6.907755278982137  # −ln 0.001: worse answers lose as much, so that one of them decides nothing
SPAN = 6.0  # typical errors that count as a loss of 1: four mean errors, where errors are exponential
WINDOW = 255  # rows of which the typical error is the median, so that a target's new scale is taken over


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Loss:
    """zero_one, log (clipped), brier: for classes · absolute: for values, in typical errors.

    The typical error is the median, over recent rows, of the smallest error that any model made on the row: a
    model that diverges cannot stretch it while another does not (ADR 15). The unit is known before the pair
    that it scales, as a fair bet needs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unit = 0.0  # the error that counts as a loss of 1; 0 before any is known, or while all are 0
        self.smallest = inf  # error of this row so far
        self.newest: deque[float] = deque()  # each row's smallest error
        self.ordered: list[float] = []  # `newest`, sorted

    def of(self, label: Any, prediction: Any, probabilities: dict[Any, float] | None) -> float:
        """The loss of an answer that is not cold. Values: `row_over` follows the last answer of a row.

        >>> Loss("zero_one").of(True, False, None), Loss("brier").of(True, True, {True: 0.5, False: 0.5})
        (1.0, 0.25)
        """
        if self.name == "absolute":
            error: float = abs(label - prediction)
            if error < self.smallest:
                self.smallest = error
            if self.unit > 0.0:
                return min(1.0, error / self.unit)
            return 1.0 if error > 0.0 and self.ordered else 0.0
        if self.name == "zero_one" or probabilities is None:
            return 0.0 if prediction == label else 1.0
        if self.name == "log":
            p = probabilities.get(label, 0.0)
            return min(1.0, -log(p) / WORST_LOG) if p > 0 else 1.0
        others = sum(p * p for one, p in probabilities.items() if one != label)
        return min(1.0, ((1.0 - probabilities.get(label, 0.0)) ** 2 + others) / 2)

    def row_over(self) -> None:
        """All answers of a row are judged: its smallest error moves the unit of the rows to come."""
        error, self.smallest = self.smallest, inf
        if error == inf:
            return
        newest, ordered = self.newest, self.ordered
        newest.append(error)
        insort(ordered, error)
        if len(newest) > WINDOW:
            del ordered[bisect_left(ordered, newest.popleft())]
        typical = ordered[len(ordered) // 2]
        if typical == 0.0:  # most rows are met exactly: the others say what an error is
            typical = sum(ordered) / len(ordered)
        self.unit = SPAN * typical
