"""The records that travel, as types; docs/schemas is generated from them. Unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

EventId = Annotated[str, Meta(min_length=1, max_length=256)]
COMMANDS = ("pause", "resume", "forget")


class Event(msgspec.Struct, gc=False):
    """What happened to an entity; an inline label means: predict, then learn at once."""

    event_id: EventId
    features: dict[str, Any]
    label: Any | UnsetType = UNSET
    v: Literal[1] = 1


class Label(msgspec.Struct, gc=False):
    """The truth about an event, under the same key."""

    event_id: EventId
    label: Any
    weight: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    v: Literal[1] = 1


class Command(msgspec.Struct, gc=False):
    """An operator's order to one shard; its outcome is written to `<app>.models`."""

    command_id: EventId
    command: str
    actor: str
    reason: str
    shard: int | None = None
    slot: str | None = None
    version: int | None = None
    key: str | None = None
    v: Literal[1] = 1


class Model(msgspec.Struct):
    """Which model answered."""

    name: str
    version: int


class Prediction(msgspec.Struct):
    """One committed prediction; `learned` counts the labels that the model knew, `offset` is the event's."""

    event_id: str
    key: str
    time_ms: int
    prediction: Any
    model: Model
    learned: int
    cold: bool
    shard: int
    offset: int
    probabilities: dict[str, float] | UnsetType = UNSET
    prior: Any = None
    v: Literal[1] = 1


class Alert(msgspec.Struct):
    """Something that a person should know; `alert_id` is deterministic."""

    alert_id: str
    type: str
    severity: Literal["info", "warning", "critical"]
    shard: int
    time_ms: int
    message: str
    evidence: dict[str, Any]
    v: Literal[1] = 1


class CommandOutcome(msgspec.Struct):
    """`<app>.models` under `<shard>/command/<id>`."""

    outcome: Literal["done", "refused"]
    why: str
    v: Literal[1] = 1


class ModelReceipt(msgspec.Struct):
    """`<app>.models` under `<shard>/<version>`, and the newest under `<shard>/champion`."""

    shard: int
    slot: str
    version: int
    parent: int | None
    why: str
    trained_through: dict[str, int] | None
    scores: dict[str, Any]
    v: Literal[1] = 1
