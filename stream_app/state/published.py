"""What a learner publishes of its champion, and all that a predictor needs to answer as it would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FORMAT = 1
KIND = "champion"  # in the signed header, which tells a publication from a snapshot


@dataclass
class Published:
    """One shard's champion as committed batch (epoch, seq) left it.

    `prior` is what a cold model is answered with, `kinds` the features' types, `full` the string features
    that take no further value. `rows` are sample rows and `replies` what the model says to them, to the bit.
    """

    model: Any
    name: str
    version: int
    learned: int
    log_time_ms: int
    prior: Any
    kinds: dict[str, str]
    full: dict[str, dict[str, None]]
    rows: list[dict[str, Any]]
    replies: list[str]
