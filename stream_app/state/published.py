"""What a learner publishes of its champion, and all that a predictor needs to answer as it would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FORMAT = 1
KIND = "champion"  # in the signed header, which distinguishes a publication from a snapshot


@dataclass
class Published:
    """One shard's champion as committed batch (epoch, seq) left it.

    `prior` is what a cold model is answered with, `kinds` the features' types, of which those of `unproven`
    give way to another one, `full` the string features that take no further value, which with `no_more` are
    all of them. `rows` are sample rows; the header says what the model answers to them. A `cold` model has
    learned nothing and is not asked.
    """

    model: Any
    name: str
    version: int
    learned: int
    cold: bool
    log_time_ms: int
    prior: Any
    kinds: dict[str, str]
    full: dict[str, dict[str, bool]]
    rows: list[dict[str, Any]]
    no_more: bool = False
    unproven: tuple[str, ...] = ()
