"""What a definition says about swaps; apart from the policy that acts on it, since compiled it could not be
unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass

POLICIES = ("evidence", "immediate", "never")
KINDS = ("fresh", "warm", "kept")


@dataclass(frozen=True, kw_only=True)
class SwapPolicy:
    """How much evidence a swap needs. Everything that counts is counted in labels, so that a replay agrees.

    `alpha` bounds the probability that hunts and standing challengers ever swap to a model that is no better;
    the way back of each probation has as much of its own. `margin` is the loss that must lie between.
    `candidates` are the kinds that a hunt starts: fresh; warm, which begins with the newest `warm` examples;
    kept, the champion as the alarm found it, which learns nothing until it serves again, so that labels that
    were wrong for a while can be undone.
    `max_slowdown` is how much longer than the champion's a candidate's answer may take.

    Raises:
        ValueError: a value out of range; correct the definition.
    """

    policy: str = "evidence"
    alpha: float = 0.05
    margin: float = 0.0
    min_labels: int = 60
    cooldown: int = 500
    respawn: int = 200
    probation: int = 2_000
    patience: int = 5_000
    budget: int = 20
    budget_labels: int = 20_000
    warm: int = 300
    candidates: tuple[str, ...] = KINDS
    max_candidates: int = 5
    max_slowdown: float = 10.0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"policy={self.policy!r}; choose one of {', '.join(POLICIES)}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha={self.alpha!r}; give a probability between 0 and 0.5")
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin={self.margin!r}; give a loss from 0 to below 1")
        for name in ("min_labels", "cooldown", "respawn", "probation", "patience", "budget", "budget_labels"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}={value!r}; give a number of labels from 1 on")
        if type(self.warm) is not int or not 0 <= self.warm <= 100_000:
            raise ValueError(f"warm={self.warm!r}; give a number of examples from 0 to 100,000")
        if not self.candidates or not set(self.candidates) <= set(KINDS):
            raise ValueError(f"candidates={self.candidates!r}; choose from {', '.join(KINDS)}")
        if not len(self.candidates) <= self.max_candidates <= 16:
            raise ValueError(f"max_candidates={self.max_candidates!r}; give {len(self.candidates)} to 16")
        if not self.max_slowdown > 1:
            raise ValueError(f"max_slowdown={self.max_slowdown!r}; give a factor above 1")
