"""What swaps judge: the loss of one answer, within [0, 1]."""

from __future__ import annotations

from math import log
from typing import Any

from mypy_extensions import mypyc_attr

LOSSES = ("zero_one", "log", "brier", "absolute")
WORST_LOG = 6.907755278982137  # −ln 0.001: worse answers lose as much, so that one of them decides nothing
SCALE = 4.0  # mean errors of the champion that count as a loss of 1


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Loss:
    """zero_one, log (clipped), brier: for classes · absolute: for values, in the champion's mean errors.

    The unit is known before the pair that it scales, as a fair bet needs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.n = 0
        self.mean = 0.0

    def of(self, label: Any, prediction: Any, probabilities: dict[Any, float] | None) -> float:
        """The loss of an answer that is not cold.

        >>> Loss("zero_one").of(True, False, None), Loss("brier").of(True, True, {True: 0.5, False: 0.5})
        (1.0, 0.25)
        """
        if self.name == "absolute":
            return min(1.0, abs(label - prediction) / (SCALE * self.mean)) if self.mean > 0 else 0.0
        if self.name == "zero_one" or probabilities is None:
            return 0.0 if prediction == label else 1.0
        if self.name == "log":
            p = probabilities.get(label, 0.0)
            return min(1.0, -log(p) / WORST_LOG) if p > 0 else 1.0
        others = sum(p * p for one, p in probabilities.items() if one != label)
        return min(1.0, ((1.0 - probabilities.get(label, 0.0)) ** 2 + others) / 2)

    def saw(self, label: Any, prediction: Any) -> None:
        """Note the champion's error, after the pair it belongs to."""
        if self.name == "absolute":
            self.n += 1
            self.mean += (abs(label - prediction) - self.mean) / self.n
