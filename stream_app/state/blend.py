"""A shard's blend: the mixture over its slots, and the scores of what it served."""

from __future__ import annotations

from typing import Any

from mypy_extensions import mypyc_attr

from drift.blend import Blend
from drift.mixture import Mixture
from stream_app.models.blending import blended
from stream_app.models.question import COLD, Answer, Question
from stream_app.state.slot import Slot

BLEND = "blend"  # what predictions and statistics call it
SERVED = 0  # its place among the served answers, where slots have their versions


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class BlendState:
    """`slot` has the scores and no model; `pinned` is the version that an operator lets answer alone."""

    def __init__(self, rule: Blend, classify: bool) -> None:
        self.mixture = Mixture(rule, classify)
        self.slot = Slot(BLEND, None, SERVED, 0, classify)
        self.pinned: int | None = None
        self.led_at = 0  # labels of the mixture when the leader changed

    @property
    def weights(self) -> list[float]:
        """The weight of each of the mixture's experts."""
        mixture = self.mixture
        if self.pinned is not None and self.pinned in mixture.experts:
            return [1.0 if version == self.pinned else 0.0 for version in mixture.experts]
        return mixture.shown

    def weight(self, version: int) -> float:
        """The weight with which a slot answers."""
        experts = self.mixture.experts
        return self.weights[experts.index(version)] if version in experts else 0.0

    def answer(self, served: dict[int, Answer], question: Question) -> Answer:
        """What is served, of what the slots answered."""
        answers = [served.get(version, COLD) for version in self.mixture.experts]
        return blended(self.weights, answers, question)

    def votes(self, served: dict[int, Answer], learned: int) -> tuple[int, Any]:
        """What a waiting row needs for the mixture to learn from its label; `learned` labels are known."""
        return learned, self.mixture.votes(served)

    def carriers(self, served: dict[int, Answer]) -> dict[int, float]:
        """The weights of those that had an answer, by version; together 1."""
        found: dict[int, float] = {}
        mass = 0.0
        for version, weight in zip(self.mixture.experts, self.weights, strict=True):
            answer: Any = served.get(version)
            if answer is not None and answer[0] is not None and weight > 0.0:
                found[version] = weight
                mass += weight
        return {version: weight / mass for version, weight in found.items()}

    def leave(self, version: int) -> None:
        """A slot is gone."""
        self.mixture.leave(version)
        if self.pinned == version:
            self.pinned = None

    def agree(self, versions: list[int]) -> None:
        """Make the experts those of these versions: who is gone leaves, who is new enters."""
        mixture = self.mixture
        for version in [version for version in mixture.experts if version not in versions]:
            mixture.leave(version)
        for version in versions:
            if version not in mixture.experts:
                mixture.enter(version)
