"""What every event brings about; native classes when compiled, since they are made at each step."""

from __future__ import annotations

from typing import Any


class PredictionMade:
    """One served prediction; `probabilities` maps class to probability, None where the task has none.
    `weights` are those of the slots that carried a blend's answer; `explanation` is set where the definition
    asks for it.

    `prior` is set for a cold prediction only: the share of each class among labels so far (or the mean
    target).
    """

    def __init__(
        self,
        event_id: str,
        key: str,
        time_ms: int,
        prediction: Any,
        probabilities: dict[Any, float] | None,
        model: str,
        version: int,
        learned: int,
        offset: int,
        prior: Any = None,
    ) -> None:
        self.event_id = event_id
        self.key = key
        self.time_ms = time_ms
        self.prediction = prediction
        self.probabilities = probabilities
        self.model = model
        self.version = version
        self.learned = learned
        self.offset = offset
        self.prior = prior
        self.weights: dict[str, float] | None = None
        self.explanation: dict[str, Any] | None = None


class FeaturesChanged:
    """The entity's state moved; its blob is written once per batch."""

    def __init__(self, key: str) -> None:
        self.key = key
