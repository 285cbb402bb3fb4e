"""stream_app/bridge: what is written for each record, what is remembered, and in which order."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import orjson
import pytest

from stream_app.application import Application, Inputs, Labels, Limits, Topic
from stream_app.bridge.event_keys import EventKeys
from stream_app.bridge.order import TimeOrder
from stream_app.bridge.translation import SOURCE, Translator
from stream_app.bridge_port import Place, Routed
from topics.envelope import EVENT, Headers, Record
from topics.placement import partition_for

NOW_MS = 1_795_920_616_000
MINUTE_MS = 60_000
SHARDS = 3


def application(labels: Topic | None = None, **how: Any) -> Application:
    """Trips with their vendor as entity; labels carry the trip's id alone."""
    durations = labels or Topic("durations", id="trip", label="seconds")
    return Application(
        name="taxi",
        task="regression",
        shards=SHARDS,
        champion=lambda seed: seed,
        inputs=Inputs(events=Topic("trips", id="id", key="vendor"), labels=durations),
        labels=Labels(horizon="10m"),
        **how,
    )


class Feed:
    """A translator, and the offset of the next record of each topic."""

    def __init__(self, app: Application) -> None:
        self.translator = Translator(app, lambda: NOW_MS + MINUTE_MS)
        self.offsets: dict[str, int] = {}

    def __call__(self, topic: str, value: Any, at_ms: int = NOW_MS, key: bytes | None = b"k") -> list[Routed]:
        """What is written for one record."""
        offset = self.offsets[topic] = self.offsets.get(topic, -1) + 1
        body = value if isinstance(value, bytes | None) else json.dumps(value).encode()
        record = Record(EVENT, offset, at_ms, key, body, [("trace", b"1")])
        return self.translator.translate(self.translator.read(record, Place(topic, 1, offset)))

    def trip(self, trip: str, vendor: str = "v", at_ms: int = NOW_MS) -> list[Routed]:
        return self("trips", {"id": trip, "vendor": vendor, "x": 1.5}, at_ms)

    def duration(self, trip: str, at_ms: int = NOW_MS) -> list[Routed]:
        return self("durations", {"trip": trip, "seconds": 60}, at_ms)


def topics(routed: list[Routed]) -> list[str]:
    """Where records go."""
    return [one.topic for one in routed]


def test_an_event_goes_to_the_shard_of_its_entity_with_its_source() -> None:
    """Its value is of the product's own form, its time and its place are kept."""
    event, known = Feed(application()).trip("t1", "v9")
    assert orjson.loads(event.value or b"") == {"event_id": "t1", "features": {"x": 1.5}, "v": 1}
    assert (event.topic, event.key, event.time_ms) == ("events", b"v9", NOW_MS)
    assert event.partition == partition_for(b"v9", SHARDS)
    assert event.headers == [(SOURCE, b"trips/1/0")]
    assert (known.topic, known.key) == ("bridge", b"t1")


def test_a_label_finds_the_entity_of_its_event() -> None:
    """It goes to the same shard, under the same key."""
    feed = Feed(application())
    event, _ = feed.trip("t1", "v9")
    (label,) = feed.duration("t1", NOW_MS + 5)
    assert (label.topic, label.key, label.partition) == ("labels", event.key, event.partition)
    assert orjson.loads(label.value or b"") == {"event_id": "t1", "label": 60, "weight": 1.0, "v": 1}
    assert label.time_ms == NOW_MS + 5


def test_a_label_that_comes_first_waits_for_its_event() -> None:
    """It is kept in the bridge's own topic, and written with the event."""
    feed = Feed(application())
    assert topics(feed.duration("t1")) == ["bridge"]
    assert topics(feed.trip("t1")) == ["events", "bridge", "labels"]
    assert feed.translator.keys.n_waiting == 0


def test_a_label_whose_event_never_comes_is_a_dead_letter_after_the_horizon() -> None:
    """The letter holds the record as it came; a later event finds no label."""
    feed = Feed(application())
    feed.duration("t1")
    feed.translator.now_ms = lambda: NOW_MS + 60 * MINUTE_MS
    routed = feed.trip("t2", at_ms=NOW_MS + 10 * MINUTE_MS + 1)
    assert topics(routed) == ["dead_letters", "bridge", "events", "bridge"]
    letter, mark = routed[:2]
    assert letter.value == b'{"trip": "t1", "seconds": 60}'
    reasons = {name: value for name, value in letter.headers or () if "reason" in name}
    assert list(reasons.values()) == [b"label-orphan"]
    assert (mark.key, mark.value) == (b"t1", None)
    assert topics(feed.trip("t1", at_ms=NOW_MS + 11 * MINUTE_MS)) == ["events", "bridge"]


def test_of_several_labels_of_an_event_each_waits_for_its_own_horizon() -> None:
    """The oldest is given up alone, also for a bridge that was restarted then."""
    feed, other, kept = Feed(application()), Feed(application()), list[Routed]()
    feed.translator.now_ms = other.translator.now_ms = lambda: NOW_MS + 60 * MINUTE_MS
    kept += feed.duration("t1")
    kept += feed.duration("t1", NOW_MS + 5 * MINUTE_MS)
    routed = feed.trip("t2", at_ms=NOW_MS + 11 * MINUTE_MS)
    assert topics(routed) == ["dead_letters", "bridge", "events", "bridge"]
    for one in [*kept, *(one for one in routed if one.topic == "bridge")]:
        other.translator.restore(one.key, one.value, one.headers)
    for each in (feed, other):
        assert each.translator.keys.n_waiting == 1
        assert topics(each.trip("t1", at_ms=NOW_MS + 12 * MINUTE_MS)) == ["events", "bridge", "labels"]


def test_a_mark_of_a_label_that_was_trimmed_is_passed_over() -> None:
    """A bridge trims the label first and the mark that it was given up later: a restart between finds one."""
    feed, other = Feed(application()), Feed(application())
    feed.translator.now_ms = lambda: NOW_MS + 60 * MINUTE_MS
    feed.duration("t1")
    routed = feed.trip("t2", at_ms=NOW_MS + 11 * MINUTE_MS)
    for one in (one for one in routed if one.topic == "bridge"):
        other.translator.restore(one.key, one.value, one.headers)
    assert other.translator.keys.keys == feed.translator.keys.keys


def test_a_waiting_label_needs_neither_definition_nor_registry_at_a_restart() -> None:
    """What it was read as is kept, also where the definition would not read it any more."""
    feed, other = Feed(application()), Feed(application(Topic("durations", id="other", label="no")))
    (kept,) = feed.duration("t1")
    other.translator.restore(kept.key, kept.value, kept.headers)
    event, _, label = other.trip("t1", "v9")
    assert (label.key, label.partition) == (event.key, event.partition)
    assert orjson.loads(label.value or b"")["label"] == 60


def test_a_header_of_the_user_s_own_is_never_taken_for_ours() -> None:
    """Whatever its name and value: a restart reads what the bridge wrote, and the letter keeps the header."""
    feed, other = Feed(application()), Feed(application())
    mine: Headers = [("waiting", b"room 3"), ("__stream_app.waiting", b"forged")]
    record = Record(EVENT, 0, NOW_MS, b"k", b'{"trip": "t1", "seconds": 60}', mine)
    (kept,) = feed.translator.translate(feed.translator.read(record, Place("durations", 1, 0)))
    other.translator.restore(kept.key, kept.value, kept.headers)
    assert waiting_of(other.translator.keys) == waiting_of(feed.translator.keys)


def test_an_event_with_a_label_of_its_own_ends_the_wait_of_others() -> None:
    """The learner says what becomes of them; a letter that the event never came would be false."""
    feed = Feed(application())
    (kept,) = feed.duration("t1")
    inputs = Inputs(events=Topic("trips", id="id", key="vendor", label="x"))
    other = Feed(replace(application(), inputs=inputs))
    other.translator.restore(kept.key, kept.value, kept.headers)
    assert topics(other.trip("t1")) == ["events", "bridge", "labels"]
    assert other.translator.keys.n_waiting == 0


def test_an_id_that_comes_again_is_another_event_after_the_time_of_repeats() -> None:
    """Its key is the newest one's, and is kept for as long as that one's labels may come."""
    feed = Feed(application(dedupe="5m"))
    feed.translator.now_ms = lambda: NOW_MS + 120 * MINUTE_MS
    feed.trip("t1", "v1")
    feed.trip("t1", "v2", NOW_MS + 4 * MINUTE_MS)
    (label,) = feed.duration("t1", NOW_MS + 4 * MINUTE_MS)
    assert label.key == b"v1"
    feed.trip("t1", "v3", NOW_MS + 60 * MINUTE_MS)
    feed.trip("t2", "v4", NOW_MS + 75 * MINUTE_MS)
    assert set(feed.translator.keys.keys) == {"t1", "t2"}
    (label,) = feed.duration("t1", NOW_MS + 75 * MINUTE_MS)
    assert label.key == b"v3"


def test_a_label_without_room_to_wait_leaves_the_others_waiting() -> None:
    """It alone is a dead letter: nothing is written that would drop the others at a restart."""
    feed = Feed(application(limits=Limits(max_parked=1)))
    assert topics(feed.duration("t1")) == ["bridge"]
    assert topics(feed.duration("t1", NOW_MS + 1)) == ["dead_letters"]
    assert topics(feed.trip("t1")) == ["events", "bridge", "labels"]


def test_what_is_kept_restores_what_was_known() -> None:
    """A bridge that reads the records of its own topic goes on as the one that wrote them."""
    feed, kept = Feed(application()), list[Routed]()
    for routed in (
        feed.trip("t1", "v1"),
        feed.duration("t2", NOW_MS + 1),
        feed.duration("t2", NOW_MS + 2),
        feed.duration("t3", NOW_MS + 3),
        feed.trip("t3", "v3", NOW_MS + 4),
    ):
        kept += [one for one in routed if one.topic == "bridge"]
    other = Feed(application())
    for one in kept:
        other.translator.restore(one.key, one.value, one.headers)
    known, restored = feed.translator.keys, other.translator.keys
    assert (restored.keys, restored.clock_ms) == (known.keys, known.clock_ms)
    assert restored.n_waiting == known.n_waiting == 2
    assert topics(other.trip("t2")) == ["events", "bridge", "labels", "labels"]
    assert topics(other.duration("t1")) == ["labels"]


def waiting_of(keys: EventKeys) -> dict[str, list[Any]]:
    """What is known of the labels that wait, by id."""
    return {
        event_id: [
            (one.body, one.time_ms, one.place, one.record.key, one.record.value, one.record.headers)
            for one in labels
        ]
        for event_id, labels in keys.waiting.items()
    }


@pytest.mark.parametrize("seed", range(40))
def test_a_restart_at_any_moment_knows_what_the_bridge_knew(seed: int) -> None:
    """Whatever came and was trimmed before: keys, their times, and labels that wait, in their order."""
    dice = random.Random(seed)
    limits = Limits(max_ids=dice.choice([3, 100]), max_parked=dice.choice([2, 100]))
    app = application(limits=limits, dedupe="20m")
    feed, kept, now_ms = Feed(app), list[tuple[int, Routed]](), NOW_MS
    feed.translator.now_ms = lambda: now_ms
    known = feed.translator.keys
    for _ in range(200):
        now_ms += dice.choice([0, 1, MINUTE_MS, 5 * MINUTE_MS])
        trip = f"t{dice.randrange(12)}"
        is_event, vendor = dice.random() < 0.6, f"v{dice.randrange(3)}"
        routed = feed.trip(trip, vendor, now_ms) if is_event else feed.duration(trip, now_ms)
        for one in routed:
            if one.topic == "bridge":
                kept.append((known.clock_ms, one))
        if dice.random() < 0.2:
            oldest_ms = known.clock_ms - known.keep_ms
            kept = [(clock_ms, one) for clock_ms, one in kept if clock_ms >= oldest_ms]
        if dice.random() < 0.2:
            other = Feed(app).translator
            for _, one in kept:
                other.restore(one.key, one.value, one.headers)
            other.keys.advance(known.clock_ms)
            assert other.keys.keys == known.keys
            assert waiting_of(other.keys) == waiting_of(known)
            assert other.keys.n_waiting == known.n_waiting == sum(map(len, known.waiting.values()))


def test_an_id_is_forgotten_when_its_labels_would_be_late_or_too_many_are_known() -> None:
    """An hour past the horizon; and the oldest of more than max_ids, which is counted."""
    feed = Feed(application(limits=Limits(max_ids=2)))
    for n in range(3):
        feed.trip(f"t{n}", at_ms=NOW_MS + n)
    assert topics(feed.duration("t0")) == ["bridge"]
    assert topics(feed.duration("t1")) == ["labels"]
    assert feed.translator.keys.n_forgotten == 1
    feed.translator.now_ms = lambda: NOW_MS + 1_000 * MINUTE_MS
    feed.trip("t9", at_ms=NOW_MS + 71 * MINUTE_MS)
    assert list(feed.translator.keys.keys) == ["t9"]


def test_a_label_with_a_key_of_its_own_is_not_looked_up() -> None:
    """Nothing is remembered then."""
    feed = Feed(application(Topic("durations", id="trip", label="seconds", key="@key")))
    assert topics(feed.trip("t1")) == ["events"]
    (label,) = feed.duration("t1")
    assert (label.topic, label.key) == ("labels", b"k")


@pytest.mark.parametrize(
    ("value", "at_ms", "reason"),
    [
        (b"{", NOW_MS, b"malformed"),
        ({"id": "t"}, NOW_MS, b"unmapped"),
        ({"id": "t", "vendor": "v"}, 1_795_920_616, b"bad-time"),
        ({"id": "t", "vendor": "v"}, NOW_MS + 11 * MINUTE_MS + 1, b"bad-time"),
        ({"id": "t", "vendor": "v" * 300}, NOW_MS, b"bad-key"),
        ({"id": "t" * 300, "vendor": "v"}, NOW_MS, b"unmapped"),
        ({"id": "t", "vendor": "v", "x": [1]}, NOW_MS, b"bad-feature"),
    ],
)
def test_a_record_that_cannot_be_taken_is_a_dead_letter_and_moves_nothing(
    value: Any, at_ms: int, reason: bytes
) -> None:
    """With its source, as the learner writes letters; neither clock nor ids move."""
    feed = Feed(application())
    (letter,) = feed("trips", value, at_ms)
    headers = {name.rpartition(".")[2]: value for name, value in letter.headers or ()}
    assert (letter.topic, headers["reason"], headers["stage"]) == ("dead_letters", reason, b"bridge")
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"trips", b"1", b"0")
    assert (feed.translator.keys.clock_ms, feed.translator.keys.keys) == (0, {})


@pytest.mark.parametrize("said", [b"trips/1/5", None, b"trips/1", b"nobody/1/5", b"trips/\xc3\xa9/5", b""])
def test_what_was_sent_back_is_read_as_a_record_of_its_topic(said: bytes | None) -> None:
    """By its header; one that names no topic of the definition makes a dead letter."""
    translator = Translator(application(), lambda: NOW_MS)
    headers: Headers = [] if said is None else [("__stream_app.source", said)]
    record = Record(EVENT, 0, NOW_MS, b"k", b'{"id": "t1", "vendor": "v", "x": 1}', headers)
    read = translator.read(record, Place("a.retries", 0, 0))
    assert read.at == Place("a.retries", 0, 0)
    right = said == b"trips/1/5"
    assert read.place == (Place("trips", 1, 5) if right else read.place)
    assert topics(translator.translate(read)) == (["events", "bridge"] if right else ["dead_letters"])


def test_a_tombstone_is_skipped_where_the_envelope_knows_it() -> None:
    """Nothing is written, and it is counted."""
    app = application()
    inputs = Inputs(events=Topic("trips", id="id", envelope="debezium"))
    object.__setattr__(app, "inputs", inputs)
    feed = Feed(app)
    assert feed("trips", None) == []
    assert feed.translator.counts == {("trips", "skipped"): 1}


def merged(order: TimeOrder[str], limit: int = 100) -> list[str]:
    """What is next."""
    return [item for _, item in order.next(limit)]


def test_records_are_merged_by_time_and_an_input_is_waited_for_until_its_end() -> None:
    """Nothing passes a partition that may still have something earlier; at its end it is not waited for."""
    order: TimeOrder[str] = TimeOrder()
    a, b = order.add_source(), order.add_source()
    for at_ms, name in ((10, "a1"), (30, "a2"), (20, "a3")):
        order.offer(a, at_ms, name)
    assert merged(order) == []
    order.offer(b, 15, "b1")
    assert merged(order) == ["a1", "b1"], "then b must be waited for"
    order.end(b)
    order.end(a)
    assert merged(order, 1) == ["a2"]
    order.offer(b, 5, "b2")
    order.end(b)
    assert merged(order) == ["b2", "a3"]
