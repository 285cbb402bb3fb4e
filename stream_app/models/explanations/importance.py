"""How much each feature does to a model's answers, from explanations of the newest rows."""

from __future__ import annotations

from collections.abc import Iterable

from stream_app.models.explanations.explanation import Explanation

NEWEST = 0.1  # weight of the newest explanation in the mean
MOST = 10  # features in a ranking


class Importance:
    """Running means of |term| by feature, of one version of a model; `ranking` is replaced whole."""

    def __init__(self) -> None:
        self.version: int | None = None
        self.means: dict[str, float] = {}
        self.ranking: list[tuple[str, float]] = []

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
            weight = NEWEST if self.means else 1.0
            for name in {**self.means, **one.terms}:
                before, now = self.means.get(name, 0.0), abs(one.terms.get(name, 0.0))
                self.means[name] = before + weight * (now - before)
        total = sum(self.means.values())
        ranked = sorted(self.means.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
        self.ranking = [(name, mean / total) for name, mean in ranked] if total else []
