"""Effects as values: what a step decided. One interpreter (`learner/batch/emit.py`) performs them."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_app.flow.served import FeaturesChanged, PredictionMade
from topics.envelope import Record
from topics.records import Outcome


class EntityDropped(msgspec.Struct, gc=False):
    """The entity must vanish from the view."""

    key: str


class DeadLettered(msgspec.Struct, gc=False):
    """The record goes to the dead letters untouched; `reason` is one of `topics.reasons`."""

    record: Record
    reason: str
    message: str
    stage: str


class AlertRaised(msgspec.Struct, gc=False):
    """`alert_id` derives from the shard and the record, so that a replay names the same alert."""

    alert_id: str
    type: str
    severity: str
    time_ms: int
    message: str
    evidence: dict[str, Any]


class CommandDone(msgspec.Struct, gc=False):
    """The outcome of one command: `outcome` is `done` or `refused`."""

    command_id: str
    outcome: Outcome
    why: str


class ReceiptWritten(msgspec.Struct, gc=False):
    """What became of a model: born, serving or retired, and why. A serving one also moves the champion's
    pointer.

    `status`: serving, challenger, candidate or retired; `kind`: declared, fresh or warm. `scores` are all
    slots' rolling scores at that moment, `trained_through` the newest record they knew.
    """

    slot: str
    version: int
    serving: bool
    why: str
    time_ms: int
    kind: str = "declared"
    parent: int | None = None
    status: str = "challenger"
    evidence: dict[str, Any] | None = None
    trained_through: dict[str, int] | None = None
    scores: dict[str, Any] = {}


Output = (
    PredictionMade
    | FeaturesChanged
    | EntityDropped
    | DeadLettered
    | AlertRaised
    | CommandDone
    | ReceiptWritten
)
