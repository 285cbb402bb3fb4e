"""The records that travel, as types; docs/schemas is generated from them. Unknown fields are ignored.

Times are epoch milliseconds, offsets and partitions are Kafka's, sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

LONGEST_ID_BYTES: Final = 256  # must stay far below what fits a Kafka key beside `<shard>/command/`
Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID_BYTES, description="1 to 256 bytes in UTF-8")]
Version = Annotated[Literal[1], Meta(description="version of this contract")]
ByClass = Annotated[dict[str, float], Meta(description="by the class's JSON text")]
OTHER: Final = "__other__"  # the string for those beyond a bound, and the name for how many names are
KINDS: Final = {int: "number", float: "number", str: "string", bool: "bool"}  # of a feature's value
FeatureValue = Annotated[Any, Meta(extra_json_schema={"type": ["number", "string", "boolean", "null"]})]
# What a shard carries out; others are refused by name.
COMMANDS = ("pause", "resume", "forget", "promote", "rollback", "drop")


def value_of(record: msgspec.Struct) -> dict[str, Any]:
    """What is written of a record: every field that is set, by name. Records within it stay records."""
    fields = msgspec.structs.asdict(record)
    return {name: value for name, value in fields.items() if value is not UNSET}


class Event(msgspec.Struct, gc=False):
    """What happened to an entity (the Kafka key); an inline label means: predict, then learn at once."""

    event_id: Id
    features: dict[str, FeatureValue]
    label: Any | UnsetType = UNSET
    v: Version = 1


class Label(msgspec.Struct, gc=False):
    """The truth about an event, under the same Kafka key."""

    event_id: Id
    label: Any
    weight: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    v: Version = 1


class Command(msgspec.Struct, gc=False):
    """An operator's order to one shard; its outcome is written to `<app>.models`."""

    command_id: Id
    command: str
    actor: str
    reason: str
    shard: int | None = None
    slot: str | None = None
    version: int | None = None
    key: str | None = None
    v: Version = 1


class Model(msgspec.Struct, gc=False):
    """Which model answered: the slot's name and its version."""

    name: str
    version: int


class Contribution(msgspec.Struct, frozen=True):
    """What a feature, which had this value, did to an answer."""

    feature: str
    value: FeatureValue | None
    contribution: float


class Explanation(msgspec.Struct, frozen=True):
    """Why an answer was what it was: `base`, all contributions and `rest`, which is the others', are `sum`.

    `unit`: log-odds, probability, value or score; of classes the terms speak for `about`, of log-odds against
    `against`. `method`: linear, path, removal or blend. `exact`: they are all that the model computed, else
    the effect of each feature.
    """

    method: str
    exact: bool
    unit: str
    base: float
    contributions: list[Contribution]
    rest: float
    sum: float
    about: Any | UnsetType = UNSET
    against: Any | UnsetType = UNSET


class Prediction(msgspec.Struct):
    """One committed prediction; `learned` counts the labels that the model knew, `offset` is the event's.

    A cold model has nothing to say yet: `prediction` is null, and `prior` is each class's share of the labels
    so far, the mean target, or null. For an anomaly detector `prediction` is the score. `weights` of a blend
    are those of the models that carried the answer, by name, the heaviest eight. `explanation` is there where
    the definition asks for it.
    """

    event_id: str
    key: str
    time_ms: int
    prediction: Any
    model: Model
    learned: int
    cold: bool
    shard: int
    offset: int
    probabilities: ByClass | UnsetType = UNSET
    prior: ByClass | float | UnsetType | None = UNSET
    v: Version = 1
    weights: dict[str, float] | UnsetType = UNSET
    explanation: Explanation | UnsetType = UNSET


class Alert(msgspec.Struct):
    """Something that a person should know; `alert_id` is deterministic, so a replay never alerts twice.

    `runbook` is where to read what to do.
    """

    alert_id: str
    type: str
    severity: Literal["info", "warning", "critical"]
    shard: int
    time_ms: int
    message: str
    evidence: dict[str, Any]
    runbook: str = ""
    v: Version = 1


Outcome = Literal["done", "refused"]


class CommandOutcome(msgspec.Struct):
    """`<app>.models` under `<shard>/command/<command_id>`."""

    outcome: Outcome
    why: str
    v: Version = 1


class ModelReceipt(msgspec.Struct):
    """`<app>.models` under `<shard>/<version>`, and the newest serving one under `<shard>/champion`.

    `status`: serving, challenger, candidate, retired. `kind`: declared by the definition, or a candidate that
    began fresh or warm. `trained_through` names the newest record that it knew, `scores` holds all rivals'
    rolling scores at that moment. `evidence` of a swap: the alarm that began the hunt (detector, signal,
    features that moved most) and the test (e_value, threshold, pairs, both mean losses on the same rows).
    `fingerprint` holds the epoch and batch of the journal that made it.
    """

    shard: int
    slot: str
    version: int
    parent: int | None
    why: str
    trained_through: dict[str, int] | None
    scores: dict[str, Any]
    kind: str = "declared"
    status: str = "challenger"
    time_ms: int = 0
    evidence: dict[str, Any] | None = None
    fingerprint: dict[str, Any] | None = None
    snapshot: str | UnsetType | None = UNSET
    v: Version = 1


class SlotStats(msgspec.Struct):
    """One model of a shard; `scores` are of its served predictions, `failed` says why it left the race.

    `weight` is its part in a blend, which is a slot of its own then, of weight 1. Null without a blend.
    """

    name: str
    version: int
    learned: int
    failed: str | None
    scores: dict[str, dict[str, float]]
    weight: float | None = None


class ViewStats(msgspec.Struct):
    """The Redis view: the stamp `<epoch>:<seq>` it holds, and whether that is all there is."""

    stamp: str | None
    caught_up: bool


class SnapshotStats(msgspec.Struct):
    """The newest snapshot, null before the first; `too_dear`: its cost breaks a bound."""

    seq: int | None
    age_s: float | None
    bytes: int
    cost_s: float
    too_dear: bool


class HistogramStats(msgspec.Struct):
    """Observations up to each bound `le`, and of all in the last of `n`; `sum` is in the bounds' unit."""

    le: list[float]
    n: list[int]
    sum: float


class DriftStats(msgspec.Struct):
    """What a signal's detector said last; `at_ms` is log time."""

    signal: str
    name: str
    detector: str
    level: Literal["stable", "warning", "drift"]
    before: float
    after: float
    at_ms: int


class Stats(msgspec.Struct):
    """A shard's condition, once per wall second; `time_ms` is the wall clock's. Outside the digest.

    `lag` counts records by input that are written and not applied, `lag_s` is the age of the oldest of them.
    `moved` ranks the features whose distribution moved furthest: standard deviations, PSI for categories.
    `memory_bytes` is by slot, `champion_since_ms` event time, `definition` a hash of what runs, `forgotten`
    counts what a bound drove out: ids within dedupe, entities within ttl; `missing` how often each
    feature was null, `importance` ranks features by their share of what all do to answers. Those are empty
    where a learner does not know.
    """

    shard: int
    time_ms: int
    owner: str
    epoch: int
    seq: int
    log_time_ms: int
    counts: dict[str, int]
    dead_letters: dict[str, int]
    waiting: dict[str, int]
    entities: int
    ids: int
    paused: bool
    serving: str
    slots: list[SlotStats]
    baseline: dict[str, dict[str, float]]
    repredicted: dict[str, Any]
    positions: dict[str, int]
    merge_waits_for: list[str]
    buffered: dict[str, int]
    replayed_batches: int
    view: ViewStats
    snapshot: SnapshotStats
    cost_s: dict[str, float]
    lag: dict[str, int] = {}
    lag_s: float | None = None
    histograms: dict[str, HistogramStats] = {}
    drift: list[DriftStats] = []
    moved: list[tuple[str, float]] = []
    memory_bytes: dict[str, int] = {}
    champion_since_ms: int | None = None
    definition: str = ""
    forgotten: dict[str, int] = {}
    missing: dict[str, int] = {}
    importance: list[tuple[str, float]] = []
    v: Version = 1
