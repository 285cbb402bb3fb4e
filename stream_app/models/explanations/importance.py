"""How much each feature does to a model's answers, from explanations of the newest rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stream_app.models.explanations.explanation import Explanation, summed

NEWEST = 0.1  # weight of the newest explanation in the mean
MOST = 10  # features in a ranking
BLOCK = 100  # explanations that are compared with those before
MOVED = 0.3  # half the sum of all differences between shares: 0 none, 1 nothing in common


class Moved(NamedTuple):
    """Answers rest on other features than before: name, share before and share now, the furthest first."""

    distance: float
    features: list[tuple[str, float, float]]


class Importance:
    """Running means of |term| by feature, of one version of a model; `ranking` is replaced whole.

    Shares over a block of explanations are compared with those of a block before, which stay what is usual
    until a block differs much: that is `moved`, replaced whole.
    """

    def __init__(self) -> None:
        self.version: int | None = None
        self.means: dict[str, float] = {}
        self.ranking: list[tuple[str, float]] = []
        self.usual: dict[str, float] = {}
        self.block: dict[str, float] = {}
        self.in_block = 0
        self.moved: Moved | None = None

    def add(self, version: int, found: Iterable[Explanation]) -> None:
        """Take explanations in, and rank the features by their share of all that features do.

        >>> importance = Importance()
        >>> importance.add(1, [Explanation("linear", True, "value", 9.0, {"a": -3.0, "b": 1.0})])
        >>> importance.ranking
        [('a', 0.75), ('b', 0.25)]
        """
        if version != self.version:
            self.version, self.means = version, {}
        for one in found:
            self.watch(one)
            weight = NEWEST if self.means else 1.0
            for name in {**self.means, **one.terms}:
                before, now = self.means.get(name, 0.0), abs(one.terms.get(name, 0.0))
                self.means[name] = before + weight * (now - before)
        total = sum(self.means.values())
        ranked = sorted(self.means.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
        self.ranking = [(name, mean / total) for name, mean in ranked] if total else []

    def watch(self, one: Explanation) -> None:
        """Add an explanation to the block, and compare that once it is full."""
        self.block = summed(self.block, {name: abs(term) for name, term in one.terms.items()})
        self.in_block += 1
        if self.in_block < BLOCK:
            return
        total = sum(self.block.values())
        now = {name: value / total for name, value in self.block.items()} if total else {}
        self.block, self.in_block = {}, 0
        found = moved(self.usual, now) if self.usual else None
        if found is None or found.distance > MOVED:
            self.usual, self.moved = now, found


def moved(before: Mapping[str, float], now: Mapping[str, float]) -> Moved:
    """How far shares are from each other.

    >>> moved({"a": 1.0}, {"a": 0.25, "b": 0.75})
    Moved(distance=0.75, features=[('a', 1.0, 0.25), ('b', 0.0, 0.75)])
    """
    both = [(name, before.get(name, 0.0), now.get(name, 0.0)) for name in {**before, **now}]
    both.sort(key=lambda one: (-abs(one[2] - one[1]), one[0]))
    return Moved(sum(abs(after - share) for _, share, after in both) / 2, both[:MOST])
