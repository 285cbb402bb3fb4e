"""An explanation of one answer: a base and one term per feature, which add up to what the model computed."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, fsum
from typing import Any, NamedTuple

LOG_ODDS, PROBABILITY, VALUE, SCORE = "log-odds", "probability", "value", "score"


class Explanation(NamedTuple):
    """`base` plus all `terms`, by the user's feature, is `total`.

    The terms speak for the class `about`, of log-odds against the class `against`; for values both are None.
    `unit`: log-odds, probability, value (in the target's unit) or score. `method`: linear (weight ×
    transformed value), path (the splits of a tree), removal (the answer without the feature), or blend.
    `exact`: the terms are all that the model computed, each of one feature. Else a term is the effect of a
    feature, or an equal part of what several do together.
    """

    method: str
    exact: bool
    unit: str
    base: float
    terms: dict[str, float]
    about: Any = None
    against: Any = None

    @property
    def total(self) -> float:
        """What the model computed, in `unit`."""
        return fsum((self.base, *self.terms.values()))

    def as_probability(self, probability: float) -> Explanation:
        """Scale log-odds to the probability that they come to: each term keeps its part of the whole."""
        base, moved = logistic(self.base), self.total - self.base
        factor = (probability - base) / moved if moved else 0.0
        terms = {name: term * factor for name, term in self.terms.items()}
        return self._replace(unit=PROBABILITY, base=probability - fsum(terms.values()), terms=terms)

    def strongest(self, most: int) -> list[tuple[str, float]]:
        """The terms that move the answer furthest, furthest first."""
        ranked = sorted(self.terms.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
        return [pair for pair in ranked[:most] if pair[1]]


def logistic(x: float) -> float:
    """1 / (1 + e^-x), without overflow."""
    return 1.0 / (1.0 + exp(-x)) if x >= 0.0 else exp(x) / (1.0 + exp(x))


def summed(parts: Mapping[str, float], more: Mapping[str, float], factor: float = 1.0) -> dict[str, float]:
    """Add up terms by name.

    >>> summed({"a": 1.0}, {"a": 2.0, "b": 4.0}, 0.5)
    {'a': 2.0, 'b': 2.0}
    """
    found = dict(parts)
    for name, term in more.items():
        found[name] = found.get(name, 0.0) + term * factor
    return found
