"""A mixture of experts by fixed share, in two levels: weights follow the losses of what was served.

    experts' answers ─▶ mixers, one for each learning rate and share ─▶ one mixture, by their trust
    label ─▶ each mixer reweighs the experts ─▶ their trust follows the losses of their own mixtures

No rate suits every stream: late labels and stable concepts want small ones, sudden drift large ones. The
second level finds out (Hedge over Herbster and Warmuth's fixed share, 1998). An expert without an answer
sleeps: its weight is kept aside (Freund, Schapire, Singer and Warmuth 1997). Plain floats in a fixed order:
a replay must come to the same bits.
"""

from __future__ import annotations

from math import exp
from struct import pack, unpack
from typing import Any, Final

from mypy_extensions import mypyc_attr

from drift.blend import Blend
from drift.losses import SPAN

ASLEEP: Final = -1.0  # in place of a loss, and of a factor
RATE: Final = 0.1  # of the second level
SHARE: Final = 0.0001
ENTRY: Final = 0.001  # the weight of an expert that comes later, at least
SLOW: Final = 2  # of the rates, which also learn from what was served where labels come late


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Mixture:
    """Weighs experts, which are known by their versions; `shown[i]` is the weight of `experts[i]`.

    An answer is (prediction, probabilities), as the flow has it: (None, None) where there is none. Mixer m
    has `rates[m]`, `shares[m]`, the weights `weights[m]`, and learns from served answers if `as_served[m]`.
    """

    def __init__(self, rule: Blend, classify: bool) -> None:
        self.rule = rule
        self.classify = classify
        mixers = [(rate, share, not rule.late) for rate in rule.rates for share in rule.shares]
        if rule.late:
            mixers += [(rate, min(rule.shares), True) for rate in sorted(rule.rates)[:SLOW]]
        n = len(mixers)
        self.rates: list[float] = [rate for rate, _, _ in mixers]
        self.shares: list[float] = [share for _, share, _ in mixers]
        self.as_served: list[bool] = [served for _, _, served in mixers]
        self.penalties: list[float] = [exp(-rate) for rate in self.rates]  # what a wrong class costs
        self.experts: list[int] = []
        self.weights: list[list[float]] = [[] for _ in range(n)]
        self.trust: list[float] = [1.0 / n] * n
        self.shown: list[float] = []
        self.light: list[int] = []  # labels in a row at which an expert's weight was below the floor
        self.labels = 0

    def enter(self, version: int) -> None:
        """Take an expert in: with an equal weight before any label, else with the mixer's own share."""
        n = len(self.experts)
        for m, weights in enumerate(self.weights):
            share = 1.0 / (n + 1) if not self.labels else max(ENTRY, self.shares[m])
            for k in range(n):
                weights[k] *= 1.0 - share
            weights.append(share)
        self.experts.append(version)
        self.light.append(0)
        self.show()

    def leave(self, version: int) -> None:
        """Let an expert go; the others get its weight in proportion to theirs."""
        if version not in self.experts:
            return
        place = self.experts.index(version)
        for weights in self.weights:
            del weights[place]
            total = sum(weights)
            for k in range(len(weights)):
                weights[k] = weights[k] / total if total > 0.0 else 1.0 / len(weights)
        del self.experts[place], self.light[place]
        self.show()

    def show(self) -> None:
        """Sum up the mixers' weights by their trust."""
        shown = [0.0] * len(self.experts)
        for m, weights in enumerate(self.weights):
            trust = self.trust[m]
            for k in range(len(shown)):
                shown[k] += trust * weights[k]
        self.shown = shown

    def weight(self, version: int) -> float:
        """The weight of an expert, 0 where it is none."""
        return self.shown[self.experts.index(version)] if version in self.experts else 0.0

    def votes(self, served: dict[int, Any]) -> Any:
        """What each mixer would have answered, packed; None where every expert sleeps.

        Classes: [class, bits of the mixers that chose it, class, bits, …]. Values: doubles in bytes.
        """
        awake = [k for k, version in enumerate(self.experts) if served.get(version, (None,))[0] is not None]
        if not awake:
            return None
        if not self.classify:
            return self.values(awake, [served[self.experts[k]][0] for k in awake])
        labels: list[Any] = []
        columns: list[list[float]] = []
        for i, k in enumerate(awake):
            prediction, probabilities = served[self.experts[k]]
            for label, p in (probabilities or {prediction: 1.0}).items():
                if label not in labels:
                    labels.append(label)
                    columns.append([0.0] * len(awake))
                columns[labels.index(label)][i] = p
        bits = [0] * len(labels)
        for m, weights in enumerate(self.weights):
            chosen, most = 0, -1.0
            for c, column in enumerate(columns):
                total = 0.0
                for i, k in enumerate(awake):
                    total += weights[k] * column[i]
                if total > most:  # the first of equals
                    chosen, most = c, total
            bits[chosen] |= 1 << m
        packed: list[Any] = []
        for c, label in enumerate(labels):
            if bits[c]:
                packed += (label, bits[c])
        return packed

    def values(self, awake: list[int], predictions: list[float]) -> Any:
        """The mean that each mixer would have answered."""
        found: list[float] = []
        for weights in self.weights:
            total, mass = 0.0, 0.0
            for i, k in enumerate(awake):
                total += weights[k] * predictions[i]
                mass += weights[k]
            found.append(total / mass if mass > 0.0 else predictions[0])
        return pack(f"{len(found)}d", *found)

    def learn(
        self,
        label: Any,
        served: dict[int, Any],
        again: dict[int, Any] | None,
        votes: Any,
        unit: float,
    ) -> None:
        """Reweigh after one label. `again` are answers to the row at label time, None where they would be the
        same; `unit` is six typical errors (values alone), 0 while it is not known.
        """
        if (votes is None and again is None) or (not self.classify and unit <= 0.0):
            return
        self.labels += 1
        then = self.losses(label, served, unit)
        now = then if again is None else self.losses(label, again, unit)
        for m, weights in enumerate(self.weights):
            losses = then if self.as_served[m] else now
            self.reweigh(weights, self.factors(losses, m), self.shares[m])
        if votes is not None:
            self.trust_again(label, votes, unit)
        self.show()
        for k, weight in enumerate(self.shown):
            self.light[k] = self.light[k] + 1 if weight < self.rule.floor else 0

    def losses(self, label: Any, answers: dict[int, Any], unit: float) -> list[float]:
        """Each expert's: whether it was wrong, or its error in typical errors."""
        found: list[float] = []
        for version in self.experts:
            answer = answers.get(version)
            if answer is None or answer[0] is None:
                found.append(ASLEEP)
            elif self.classify:
                found.append(1.0 if answer[0] != label else 0.0)
            else:
                found.append(min(SPAN, abs(label - answer[0]) * SPAN / unit))
        return found

    def factors(self, losses: list[float], m: int) -> list[float]:
        """What a mixer multiplies each expert's weight by."""
        if self.classify:
            penalty = self.penalties[m]
            return [ASLEEP if loss < 0.0 else penalty if loss > 0.0 else 1.0 for loss in losses]
        rate = self.rates[m]
        return [ASLEEP if loss < 0.0 else exp(-rate * loss) for loss in losses]

    def reweigh(self, weights: list[float], factors: list[float], share: float) -> None:
        """Multiply, keep the mass of those awake, and share a part of all equally."""
        n = len(weights)
        before, after = 0.0, 0.0
        for k in range(n):
            if factors[k] >= 0.0:
                before += weights[k]
                weights[k] *= factors[k]
                after += weights[k]
        scale = before / after if after > 0.0 else 1.0
        for k in range(n):
            weight = weights[k] * scale if factors[k] >= 0.0 else weights[k]
            weights[k] = (1.0 - share) * weight + share / n

    def trust_again(self, label: Any, votes: Any, unit: float) -> None:
        """Reweigh the mixers by the losses of what they would have served."""
        trust, n = self.trust, len(self.trust)
        total = 0.0
        if self.classify:
            right = 0
            for at in range(0, len(votes), 2):
                if votes[at] == label:
                    right = votes[at + 1]
            factor = exp(-RATE)
            for m in range(n):
                if not (right >> m) & 1:
                    trust[m] *= factor
                total += trust[m]
        else:
            means: tuple[float, ...] = unpack(f"{n}d", votes)
            for m in range(n):
                trust[m] *= exp(-RATE * min(1.0, abs(label - means[m]) / unit))
                total += trust[m]
        for m in range(n):
            trust[m] = (1.0 - SHARE) * trust[m] / total + SHARE / n

    def idle(self) -> list[int]:
        """The experts whose weight has been below the floor for so long that they may go."""
        return [
            version
            for version, labels in zip(self.experts, self.light, strict=True)
            if labels >= self.rule.patience
        ]

    def leader(self) -> int | None:
        """The expert with the most weight, the first of equals; None where there is none."""
        best: int | None = None
        most = -1.0
        for k, weight in enumerate(self.shown):
            if weight > most:
                best, most = self.experts[k], weight
        return best
