"""A second opinion on one shard: its inputs, in the journal's order, through bare River and dictionaries.

Written from the contract, with none of the learner's code. It takes a dead letter's word where one record
alone decides (a malformed value, a bad feature); what follows from history (duplicates, reused ids, late,
orphan and contradictory labels, expiry) it works out itself. It forgets no id, so a run must be shorter than
`dedupe`. Entity features are followed for `last` alone. No key of the traffic contradicts the others, so
that a label held back is one too many here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection
from hashlib import blake2b
from itertools import takewhile
from typing import Any

import msgspec

from tests.faults.committed import COMMANDS, EVENTS, INPUTS, LABELS, Stored

UNREADABLE = {"malformed", "too-large", "no-key", "bad-key", "bad-time"}
BAD_VALUES = {"bad-feature", "label-bad", "label-unknown-class", "label-unexpected"}


class Row(msgspec.Struct):
    """A predicted event that waits for its label."""

    key: str
    time_ms: int
    features: dict[str, Any]


class Parked(msgspec.Struct):
    """A label that waits for its event."""

    key: str
    time_ms: int
    label: Any
    weight: float
    offset: int


def seed_of(app_seed: int, slot: str, generation: int) -> int:
    """The documented seed of a slot's model."""
    return int.from_bytes(blake2b(f"{app_seed}/{slot}/{generation}".encode(), digest_size=4).digest(), "big")


def text_of(label: Any) -> str:
    """A class as a key of `probabilities`."""
    return label if isinstance(label, str) else json.dumps(label)


class Recount:
    """`apply` takes one record and gives the prediction that must have been served, None where none must."""

    def __init__(
        self, app: Any, shard: int, letters: dict[tuple[int, int], str], complain: Callable[[str], None]
    ) -> None:
        self.app, self.shard, self.letters, self.complain = app, shard, letters, complain
        self.model = app.champion(seed_of(app.seed, "champion", 0))
        self.horizon_ms = app.labels.horizon_ms if app.labels else 0
        self.classify = app.task in ("binary", "multiclass")
        self.log_time_ms = 0
        self.paused = False
        self.commands: set[str] = set()
        self.ids: dict[str, tuple[bytes, bytes]] = {}
        self.labelled: dict[str, Any] = {}
        self.pending: dict[str, Row] = {}
        self.parked: dict[str, Parked] = {}
        self.entities: dict[str, tuple[int, int, list[list[Any]]]] = {}
        self.class_counts: Counter[Any] = Counter()
        self.target_sum = 0.0
        self.learned = self.inline = 0
        self.counts: Counter[str] = Counter()

    def apply(self, rank: int, record: Stored) -> dict[str, Any] | None:
        """Take one record of an input; one that crashed the learner is only counted."""
        if self.letters.get((rank, record.offset)) == "crash":
            self.counts[INPUTS[rank]] += 1
            self.refused(rank, record.offset, "crash")
            return None
        if rank == EVENTS:
            return self.event(record)
        if rank == LABELS:
            self.label(record)
        else:
            self.command(record)
        return None

    def refused(self, rank: int, offset: int, expected: str | None, among: Collection[str] = ()) -> bool:
        """Whether the record is a dead letter; it must be one for `expected`, and may be one for `among`."""
        reason = self.letters.get((rank, offset))
        if expected is None and reason not in among:
            return False
        name = INPUTS[rank]
        if expected is not None and reason != expected:
            self.complain(f"{name}@{offset} must be a dead letter {expected}, it is {reason}")
        self.letters.pop((rank, offset), None)
        self.counts[f"dead_{name}"] += 1
        return True

    def event(self, record: Stored) -> dict[str, Any] | None:
        self.counts["events"] += 1
        if self.refused(EVENTS, record.offset, None, UNREADABLE | BAD_VALUES | {"model-error"}):
            return None
        value, key = json.loads(record.value or b""), (record.key or b"").decode()
        event_id, content = value["event_id"], (record.key or b"", record.value or b"")
        if event_id in self.ids:
            if self.ids[event_id] == content:
                self.counts["duplicate_events"] += 1
            else:
                self.refused(EVENTS, record.offset, "event-id-reused")
            return None
        now = self.advance(record.time_ms)
        features = {name: part for name, part in value["features"].items() if part is not None}
        row = self.entity_features(key)
        row.update(features)
        expected = self.predict(row)
        expected |= {
            "v": 1,
            "event_id": event_id,
            "key": key,
            "time_ms": now,
            "learned": self.learned,
            "model": {"name": "champion", "version": 1},
            "shard": self.shard,
            "offset": record.offset,
        }
        self.counts["predictions"] += 1
        self.remember_entity(key, now, record.offset, features)
        self.ids[event_id] = content
        if "label" in value:
            self.labelled[event_id] = value["label"]
            self.inline += 1
            self.learn(row, value["label"], 1.0)
            return expected
        self.pending[event_id] = Row(key, now, row)
        early = self.parked.pop(event_id, None)
        if early is not None:
            self.join(event_id, early.key, early.label, early.weight, early.offset)
        return expected

    def label(self, record: Stored) -> None:
        self.counts["labels"] += 1
        if self.refused(LABELS, record.offset, None, UNREADABLE):
            return
        value, key = json.loads(record.value or b""), (record.key or b"").decode()
        event_id, label, weight = value["event_id"], value["label"], value.get("weight", 1.0)
        earlier = self.parked.get(event_id)
        before = earlier.label if earlier else self.labelled.get(event_id)
        if before is not None:
            if (before, type(before)) == (label, type(label)):
                self.counts["duplicate_labels"] += 1
            else:
                self.refused(LABELS, record.offset, "label-contradictory")
            return
        if self.refused(LABELS, record.offset, None, BAD_VALUES):
            return
        now, row = max(record.time_ms, self.log_time_ms), self.pending.get(event_id)
        if row is not None and row.key != key:
            self.refused(LABELS, record.offset, "label-other-key")
        elif (row and row.time_ms + self.horizon_ms < now) or (row is None and event_id in self.ids):
            self.refused(LABELS, record.offset, "label-late")
        else:
            self.advance(record.time_ms)
            if row is not None:
                self.join(event_id, key, label, weight, record.offset)
            else:
                self.parked[event_id] = Parked(key, now, label, weight, record.offset)

    def join(self, event_id: str, key: str, label: Any, weight: float, offset: int) -> None:
        if self.refused(LABELS, offset, "label-other-key" if self.pending[event_id].key != key else None):
            return
        self.labelled[event_id] = label
        self.learn(self.pending.pop(event_id).features, label, weight)

    def command(self, record: Stored) -> None:
        self.counts["commands"] += 1
        if self.refused(COMMANDS, record.offset, None, UNREADABLE):
            return
        value = json.loads(record.value or b"")
        self.advance(record.time_ms)
        if value["command_id"] in self.commands or value.get("shard") not in (None, self.shard):
            return
        self.commands.add(value["command_id"])
        if value["command"] in ("pause", "resume"):
            self.paused = value["command"] == "pause"

    def advance(self, time_ms: int) -> int:
        """Log time, never back; what is past its horizon ends."""
        now = self.log_time_ms = max(self.log_time_ms, time_ms)
        before = now - self.horizon_ms
        for event_id, row in list(takewhile(lambda item: item[1].time_ms < before, self.pending.items())):
            del self.pending[event_id]
            self.counts["labels_expired"] += 1
            if self.app.labels.on_timeout == "label":
                self.learn(row.features, self.app.labels.default, 1.0)
        for event_id, parked in list(takewhile(lambda item: item[1].time_ms < before, self.parked.items())):
            del self.parked[event_id]
            self.refused(LABELS, parked.offset, "label-orphan")
        return now

    def predict(self, row: dict[str, Any]) -> dict[str, Any]:
        """What bare River answers, as the contract writes it."""
        if not self.learned:  # a model without a lesson is not asked
            return self.cold()
        if not self.classify:
            value = self.model.predict_one(row)
            return self.cold() if value is None else {"prediction": float(value), "cold": False}
        probabilities = self.model.predict_proba_one(row)
        if not probabilities:
            return self.cold()
        if self.app.threshold is None:
            prediction = self.model.predict_one(row)
        else:
            prediction = probabilities.get(True, 0.0) > self.app.threshold
        told = {text_of(label): float(p) for label, p in probabilities.items()}
        return {"prediction": prediction, "probabilities": told, "cold": False}

    def cold(self) -> dict[str, Any]:
        """A model with nothing to say: the prior of what was learned so far."""
        self.counts["cold"] += 1
        prior: Any = None
        if self.learned and self.classify:
            prior = {text_of(label): n / self.learned for label, n in self.class_counts.items()}
        elif self.learned:
            prior = self.target_sum / self.learned
        return {"prediction": None, "cold": True, "prior": prior}

    def learn(self, row: dict[str, Any], label: Any, weight: float) -> None:
        if self.paused:
            self.counts["labels_skipped"] += 1
            return
        if self.classify:
            self.class_counts[label] += 1
            weight *= (self.app.class_weights or {}).get(label, 1.0)
        else:
            self.target_sum += label
        self.learned += 1
        self.counts["labels_learned"] += 1
        self.model.learn_one(row, label, **({} if weight == 1.0 else {"w": weight}))

    def entity_features(self, key: str) -> dict[str, Any]:
        """The entity's newest values before this event, in declared order; unknown ones are absent."""
        cells = self.entities[key][2] if key in self.entities else [[] for _ in self.app.features]
        return {f.name: cell[0] for f, cell in zip(self.app.features, cells, strict=True) if cell}

    def remember_entity(self, key: str, now: int, offset: int, features: dict[str, Any]) -> None:
        if not self.app.features:
            return
        cells = self.entities[key][2] if key in self.entities else [[] for _ in self.app.features]
        for feature, cell in zip(self.app.features, cells, strict=True):
            if feature.field in features:
                cell[:] = [features[feature.field]]
        self.entities[key] = (now, offset, cells)
