"""What is written for each record of the user's topics: an event, a label, a dead letter, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import orjson
from msgspec import UNSET

from stream_app.application import Application
from stream_app.bridge.copies import Copied, Copies
from stream_app.bridge.event_keys import EventKeys, KeptLabel, WaitingLabel
from stream_app.bridge_port import Place, Routed
from stream_app.inputs.mapping import NONE, Mapping
from stream_app.inputs.schemas import Schemas
from stream_app.inputs.topic import Event, Inputs, Label, Meta, Skipped, Topic
from topics import reasons
from topics.alerts import run_alert
from topics.catalog import FURTHEST_AHEAD_MS
from topics.codec import CLASS_RANGE, LARGEST_VALUE_BYTES, Rejected, check_headers
from topics.envelope import EVENT, Headers, Record
from topics.fitting import dead_letter, encode_within
from topics.placement import partition_for
from topics.records import value_of
from topics.times import EARLIEST_MS, doubt

# The header of what is bridged, and of what is to be bridged once more: <topic>/<partition>/<offset>.
SOURCE: Final = "__stream_app.source"
OURS: Final = "__stream_app."  # begins the names of our own headers
STAGE: Final = "bridge"
DIGITS: Final = re.compile(r"[0-9]{1,19}")  # of a partition or an offset
WAITING: Final = "__stream_app.waiting"  # the header of a waiting label's record: where it came from
# After its horizon a label is late; it still has its event's key, so that the learner says so.
LATE_MS: Final = 3_600_000

PLACED: Final = 100_000  # keys whose shard is remembered: to hash one takes longer

Found = Event | Label | Skipped | Rejected
ANY: Final = -1  # the partition of a key in a topic whose number of partitions is not ours


class Translated(NamedTuple):
    """A record and what it is; `time_ms` is its event time in epoch ms, or its timestamp if it has none.

    `place` is where it stood first, `at` where it was read: they differ for a letter that was sent back.
    `body` is an event or a label in the product's own form.
    """

    time_ms: int
    found: Found | Copied
    record: Record
    place: Place
    at: Place
    body: bytes = b""


class Translator:
    """Translates records of all input topics of an application; `now_ms` is the wall clock.

    `counts` are records by topic and what became of them.
    """

    def __init__(
        self,
        app: Application,
        now_ms: Callable[[], int],
        schemas: Schemas = NONE,
        copies: Copies | None = None,
    ) -> None:
        self.app, self.shards, self.now_ms = app.name, app.shards, now_ms
        self.mappings = mappings_of(app.inputs, schemas) if app.inputs is not None else {}
        self.copies, self.predictions = copies, f"{app.name}.predictions"
        horizon_ms = app.labels.horizon_ms if app.labels else 0
        limits = app.limits
        self.keys = EventKeys(
            horizon_ms, horizon_ms + LATE_MS, app.dedupe_ms, limits.max_ids, limits.max_parked
        )
        self.remembers = app.inputs is not None and app.inputs.finds_keys
        self.counts: dict[tuple[str, str], int] = {}
        self.shard_of = lru_cache(PLACED)(partial(partition_for, partitions=app.shards))

    def read(self, record: Record, at: Place) -> Translated:
        """What a record is, by the mapping of its topic; depends on the record alone."""
        if self.copies is not None and at.topic == self.predictions:
            return Translated(record.time_ms, self.copies.copy(record), record, at, at)
        place = at if at.topic in self.mappings else first_place(record, at)
        headers = record.headers
        if headers and at.topic not in self.mappings:  # a letter that was sent back has three more of ours
            headers = [one for one in headers if not one[0].startswith(OURS)]
        found, body = self.meaning(record, place, headers), b""
        if isinstance(found, Event | Label):
            encoded = encode(found)
            if isinstance(encoded, Rejected):
                found = encoded
            else:
                body = encoded
        time_ms = found.time if isinstance(found, Event | Label) else None
        return Translated(record.time_ms if time_ms is None else time_ms, found, record, place, at, body)

    def meaning(self, record: Record, place: Place, headers: Headers | None) -> Found:
        """An event or a label, or why it is none."""
        fault = check_headers(headers)
        if fault is not None:
            return fault
        if record.key is not None and len(record.key) > LARGEST_VALUE_BYTES:
            text = f"the Kafka key has {len(record.key)} bytes, {LARGEST_VALUE_BYTES} are allowed"
            return Rejected(reasons.TOO_LARGE, text)
        meta = Meta(*place, record.time_ms, record.key, tuple(headers or ()))
        if place.topic not in self.mappings:
            text = f"the topic {place.topic} is not among inputs=, so nothing says what its records mean"
            return Rejected(reasons.UNMAPPED, text)
        found: Found = Skipped("no mapping")
        for mapping in self.mappings[place.topic]:
            found = mapping.read_value(record.value, meta)
            if not isinstance(found, Skipped):
                break
        if record.time_ms < EARLIEST_MS and isinstance(found, Event | Label) and found.time is None:
            return Rejected(reasons.BAD_TIME, doubt(record.time_ms))
        return found

    def translate(self, read: Translated) -> list[Routed]:
        """What is written for the next record in order."""
        time_ms, found, record, place, _, _ = read
        if isinstance(found, Skipped):
            return self.count(place, "skipped", [])
        if isinstance(found, Copied):
            copy = Routed("output", record.key, found.value, ANY, record.time_ms, found.headers)
            return self.count(place, "copied", [copy])
        ahead_ms = time_ms - self.now_ms()
        if ahead_ms > FURTHEST_AHEAD_MS and not isinstance(found, Rejected):
            text = f"the time lies {ahead_ms // 1000} s ahead of now; 600 s are allowed"
            found = Rejected(reasons.BAD_TIME, text)
        if isinstance(found, Rejected):
            return self.count(place, "dead", [self.letter(record, place, found)])
        self.keys.advance(time_ms)
        late: list[Routed] = []
        for waiting in self.keys.give_up():
            text = f"no event {waiting.event_id!r} came within the horizon of {self.keys.horizon_ms} ms"
            late += [self.orphan(waiting, text), Routed("bridge", waiting.event_id.encode(), None, 0)]
        if isinstance(found, Event):
            return self.count(place, "event", late + self.event(found, read))
        return late + self.label(found, read)

    def event(self, event: Event, read: Translated) -> list[Routed]:
        """An event for the shard of its key, its key for later labels, and the labels that came before it."""
        key = event.key or ""
        routed = [self.routed("events", key, read.body, read.time_ms, read.place)]
        is_kept = self.remembers and event.label is UNSET and self.keys.is_new(event.id)
        if is_kept or event.id in self.keys.waiting:
            known = orjson.dumps({"key": key, "time_ms": self.keys.clock_ms})
            routed.append(Routed("bridge", event.id.encode(), known, 0))
            waited = self.keys.add(event.id, key)
            routed += [self.routed("labels", key, one.body, one.time_ms, one.place) for one in waited]
        return routed

    def label(self, label: Label, read: Translated) -> list[Routed]:
        """A label for the shard of its event; one whose event is not known waits for it."""
        key = label.key if label.key is not None else self.keys.key_of(label.id)
        if key is not None:
            routed = self.routed("labels", key, read.body, read.time_ms, read.place)
            return self.count(read.place, "label", [routed])
        record = read.record
        waiting = WaitingLabel(label.id, read.body, read.time_ms, record, read.place)
        if self.keys.is_full:
            text = (
                f"no event {label.id!r} came yet, and no more labels can wait; write "
                f"limits=Limits(max_parked={2 * self.keys.most_waiting})"
            )
            return self.count(read.place, "dead", [self.orphan(waiting, text)])
        self.keys.wait(waiting)
        kept = KeptLabel(read.place, record.time_ms, self.keys.clock_ms, read.time_ms, record.key, read.body)
        headers = [*(record.headers or ()), (WAITING, kept.packed())]
        routed = Routed("bridge", label.id.encode(), record.value, 0, headers=headers)
        return self.count(read.place, "waiting", [routed])

    def orphan(self, waiting: WaitingLabel, text: str) -> Routed:
        """A letter about a label whose event has not come."""
        return self.letter(waiting.record, waiting.place, Rejected(reasons.LABEL_ORPHAN, text))

    def routed(self, topic: str, key: str, body: bytes, time_ms: int, place: Place) -> Routed:
        """A record for the shard of a key, with where it came from."""
        name = key.encode()
        source: Headers = [(SOURCE, f"{place.topic}/{place.partition}/{place.offset}".encode())]
        return Routed(topic, name, body, self.shard_of(name), time_ms, source)

    def letter(self, record: Record, place: Place, fault: Rejected) -> Routed:
        """A dead letter, as the learner writes them."""
        refusal = {
            "reason": fault.reason,
            "message": fault.message,
            "stage": STAGE,
            "topic": place.topic,
            "partition": str(place.partition),
            "offset": str(place.offset),
        }
        key, value, headers = dead_letter(record, refusal)
        return Routed("dead_letters", key, value, place.partition % self.shards, 0, headers)

    def waiting_alert(self, why: str, where: str) -> Routed:
        """An alert that everything waits for the schema of the record at a place; one for each."""
        text = f"the bridge waits for the schema of {where}, and every other record with it: {why}"
        raised = run_alert(self.app, 0, "bridge-waiting", where, self.now_ms(), text, {"record": where})
        return Routed("alerts", raised.alert_id.encode(), encode_within(value_of(raised)), 0, raised.time_ms)

    def count(self, place: Place, what: str, routed: list[Routed]) -> list[Routed]:
        """Count what became of a record."""
        self.counts[place.topic, what] = self.counts.get((place.topic, what), 0) + 1
        return routed

    def restore(self, key: bytes | None, value: bytes | None, headers: Headers | None) -> None:
        """Enter a record of the bridge's own topic, in its order: what was known when the bridge ended."""
        event_id = (key or b"").decode()
        last, packed = headers[-1] if headers else ("", None)
        if headers and last == WAITING and packed is not None:
            kept, others = KeptLabel.unpacked(packed), list(headers[:-1])
            record = Record(EVENT, kept.place.offset, kept.stamp_ms, kept.key, value, others or None)
            self.keys.advance(kept.clock_ms)
            self.keys.wait(WaitingLabel(event_id, kept.body, kept.time_ms, record, kept.place))
        elif value is None:
            self.keys.drop_oldest(event_id)
        else:
            known = orjson.loads(value)
            self.keys.advance(known["time_ms"])
            self.keys.add(event_id, known["key"])


def encode(found: Event | Label) -> bytes | Rejected:
    """An event or a label in the product's own form, unless JSON or its topic cannot hold it."""
    value: dict[str, Any] = {"event_id": found.id, "v": 1}
    if type(found.label) is int and found.label not in CLASS_RANGE:
        text = "the label is an integer beyond 64 bits; send it as a string"
        return Rejected(reasons.LABEL_BAD, text)
    if isinstance(found, Label):
        value["label"], value["weight"] = found.label, found.weight
    else:
        value["features"] = found.features
        if found.label is not UNSET:
            value["label"] = found.label
    try:
        body = orjson.dumps(value)
    except (TypeError, ValueError) as error:  # integers beyond 64 bits, halves of a surrogate pair
        return Rejected(reasons.UNMAPPED, f"it cannot be written as JSON: {error}"[:500])
    if len(body) > LARGEST_VALUE_BYTES:
        text = f"it has {len(body)} bytes as JSON, {LARGEST_VALUE_BYTES} are allowed; take fewer features"
        return Rejected(reasons.TOO_LARGE, text)
    return body


def first_place(record: Record, at: Place) -> Place:
    """Where a record stood that was sent back, by its header; where it was read, if that says nothing."""
    said = [value or b"" for name, value in record.headers or () if name == SOURCE]
    parts = said[-1].decode(errors="replace").rsplit("/", 2) if said else []
    if len(parts) != len(at) or not all(DIGITS.fullmatch(part) for part in parts[1:]):
        return at
    return Place(parts[0], int(parts[1]), int(parts[2]))


def mappings_of(inputs: Inputs, schemas: Schemas) -> dict[str, list[Mapping]]:
    """How each topic is read, by its name; several ways where it is named several times."""
    found: dict[str, list[Mapping]] = {}
    for feeds, topics in inputs.roles.items():
        for topic in topics:
            found.setdefault(topic.name, []).append(Mapping(as_paths(topic, feeds), feeds, schemas))
    return found


def as_paths(topic: Topic, feeds: str) -> Topic:
    """A topic of the product's own form, with its paths."""
    if not topic.is_own_form:
        return topic
    if feeds == "labels":
        return Topic(topic.name, id="event_id", key="@key", label="label", weight="weight", keys=topic.keys)
    return Topic(topic.name, id="event_id", label="label", within="features", keys=topic.keys)
