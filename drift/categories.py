"""Drift of categories: the population stability index between a reference window and the newest one.

PSI = Σ (p − q) ln(p/q) over the classes; 0.1 is commonly read as a shift to watch, 0.25 as a real one. Small
windows reach such values by chance, so that the same counts must also fail Pearson's χ² test of homogeneity
at `alpha`. Sources: Siddiqi, Credit Risk Scorecards (2006); Wilson and Hilferty (1931) for the quantile.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Any

from drift.verdicts import STABLE, State, Verdict

REST = "…"  # every class beyond `max_classes`
SMALLEST_SHARE = 1e-4


class Categories:
    """Counts of a reference window and of the newest one, judged each time that the newest is full.

    The reference stays until a drift, which makes the newest window the new reference. One update costs
    0.4 µs, a judgement some µs per class.

    Raises:
        ValueError: a parameter out of range; correct the definition.
    """

    __slots__ = ("alpha_z", "judged", "last", "max_classes", "name", "newest", "psi", "reference", "size")

    def __init__(
        self, size: int = 500, psi: float = 0.25, alpha_z: float = 3.7, max_classes: int = 50
    ) -> None:
        for name, value, least in (("size", size, 1), ("max_classes", max_classes, 2)):
            if type(value) is not int or value < least:
                raise ValueError(f"{name}={value!r}: give a whole number from {least} on")
        for name, bound in (("psi", psi), ("alpha_z", alpha_z)):
            if type(bound) not in (int, float) or not bound > 0:
                raise ValueError(f"{name}={bound!r}: give a number above 0")
        self.name = "psi"
        self.size = size
        self.psi = psi
        self.alpha_z = alpha_z  # 3.7: one false alarm in 10,000 full windows
        self.max_classes = max_classes
        self.reference: dict[str, int] = {}
        self.newest: dict[str, int] = {}
        self.judged = 0
        self.last = 0.0  # PSI of the newest full window

    def update(self, value: Any) -> Verdict:
        """Count one value (string or boolean)."""
        counts = self.newest
        text = str(value)
        if text not in counts and text not in self.reference and len(counts) >= self.max_classes:
            text = REST
        counts[text] = counts.get(text, 0) + 1
        self.judged += 1
        if self.judged < self.size:
            return STABLE
        self.judged = 0
        if not self.reference:
            self.reference, self.newest = counts, {}
            return STABLE
        found = self.judge()
        if found.state is State.DRIFT:
            self.reference = counts
        self.newest = {}
        return found

    def moved(self) -> float:
        """PSI of the newest window against the reference; of the one before while it is not half full, since
        few values lie far from any reference. 0 before there are both.
        """
        m, n = sum(self.reference.values()), self.judged
        if not self.reference or n < self.size / 2:
            return self.last
        return sum(self.part(text, m, n) for text in dict.fromkeys((*self.reference, *self.newest)))

    def part(self, text: str, m: int, n: int) -> float:
        """One class's share in the PSI."""
        p = max(self.reference.get(text, 0) / m, SMALLEST_SHARE)
        q = max(self.newest.get(text, 0) / n, SMALLEST_SHARE)
        return (p - q) * log(p / q)

    def judge(self) -> Verdict:
        """Compare both windows; the class that moved most is named with its shares before and after."""
        before, after = self.reference, self.newest
        m, n = sum(before.values()), sum(after.values())
        index = chi2 = 0.0
        most, moved = "", 0.0
        classes = dict.fromkeys((*before, *after))
        for text in classes:
            a, b = before.get(text, 0), after.get(text, 0)
            part = self.part(text, m, n)
            index += part
            expected = (a + b) / (m + n)
            chi2 += (a - m * expected) ** 2 / (m * expected) + (b - n * expected) ** 2 / (n * expected)
            if part > moved:
                most, moved = text, part
        self.last = index
        shares = (before.get(most, 0) / m, after.get(most, 0) / n)
        if index < self.psi / 2.5 or not unlikely(chi2, len(classes) - 1, self.alpha_z):
            return STABLE
        state = State.DRIFT if index >= self.psi else State.WARNING
        return Verdict(state, *shares, most)


def unlikely(chi2: float, freedom: int, z: float) -> bool:
    """Whether χ² lies beyond the quantile that a normal variable passes at `z`.

    >>> unlikely(3.0, 2, 3.7), unlikely(60.0, 2, 3.7)
    (False, True)
    """
    if freedom < 1:
        return False
    spread = 2 / (9 * freedom)
    return bool(((chi2 / freedom) ** (1 / 3) - (1 - spread)) / sqrt(spread) > z)
