"""Odd inputs that are right all the same: each is predicted, and what makes it odd is kept or passed over."""

from __future__ import annotations

from math import copysign
from typing import Any

import orjson
import pytest

from stream_app import features as f
from stream_app.application import Labels
from stream_app.learner.recovery.snapshots import state_digest
from tests.scenario.shard_driver import START_MS, ShardDriver, application
from topics import reasons
from topics.envelope import EVENT, LABEL, Record
from topics.times import EARLIEST_MS

DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
HOUR_MS = 3_600_000


def last_row(shard: ShardDriver) -> dict[str, Any]:
    """The feature row of the newest event that waits for its label."""
    return list(shard.state.pending.items.values())[-1].row


class Forgetful:
    """Learns nothing, so that only the classes count."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def predict_one(self, row: dict[str, Any]) -> str:
        return "c0"

    def learn_one(self, row: dict[str, Any], label: Any) -> None:
        pass


ODD: dict[str, tuple[bytes, dict[str, Any]]] = {
    "minus zero": (b'{"event_id":"odd","features":{"x":-0.0}}', {"x": -0.0}),
    "denormal": (b'{"event_id":"odd","features":{"x":5e-324}}', {"x": 5e-324}),
    "duplicate feature": (b'{"event_id":"odd","features":{"x":1,"x":2}}', {"x": 2}),
    "duplicate field": (b'{"event_id":"no","event_id":"odd","features":{"x":1}}', {"x": 1}),
    "unknown fields": (
        b'{"event_id":"odd","features":{"x":1},"trace":[1,{"a":null}],"z":"\\u0000"}',
        {"x": 1},
    ),
    "other order of fields": (b'{"features":{"x":1},"v":1,"event_id":"odd"}', {"x": 1}),
    "other order of features": (b'{"event_id":"odd","features":{"y":2,"x":1}}', {"y": 2, "x": 1}),
    "a feature vanishes": (b'{"event_id":"odd","features":{"x":1}}', {"x": 1}),
    "a feature appears": (b'{"event_id":"odd","features":{"x":1,"y":2,"new":3}}', {"x": 1, "y": 2, "new": 3}),
    "unscaled": (b'{"event_id":"odd","features":{"x":1e6}}', {"x": 1e6}),
    "at the bound": (b'{"event_id":"odd","features":{"x":-1e15}}', {"x": -1e15}),
    "whitespace around": (b' \n{"event_id":"odd","features":{"x":1}}\t', {"x": 1}),
    "a name in NFC": ('{"event_id":"odd","features":{"é":1}}'.encode(), {"é": 1}),
    "a pair of surrogates": (rb'{"event_id":"odd","features":{"\ud83d\ude00":1}}', {"\U0001f600": 1}),
}


@pytest.mark.parametrize(("value", "row"), ODD.values(), ids=ODD.keys())
def test_odd_events_are_taken_as_they_are(value: bytes, row: dict[str, Any]) -> None:
    """An odd event is predicted once, with exactly its features, and its label is learned."""
    shard = ShardDriver()
    shard.warm()
    assert shard.raw(EVENT, value) is None
    assert shard.predictions()[-1]["event_id"] == "odd"
    assert last_row(shard) == row
    assert all(copysign(1, last_row(shard)[name]) == copysign(1, number) for name, number in row.items())
    assert shard.label("odd", True) is None
    shard.still_works()


def test_the_order_of_features_is_kept_as_it_came() -> None:
    """A row holds its features in the record's order, as River would get them; no schema reorders them."""
    shard = ShardDriver()
    assert shard.event("e1", {"b": 1, "a": 2}) is None
    assert list(last_row(shard)) == ["b", "a"]


def test_constant_features_never_stop_the_stream() -> None:
    """A feature without variance scales to a finite number."""
    shard = ShardDriver()
    for i in range(50):
        assert shard.event(f"e{i}", {"x": 7.0}, label=bool(i % 2)) is None
    assert shard.champion.learned == 50


@pytest.mark.parametrize("stamp", [START_MS - YEAR_MS, START_MS - 1, EARLIEST_MS])
def test_an_old_timestamp_is_clamped_up_to_log_time(stamp: int) -> None:
    """Log time never goes back: an old event counts as of now, and its windows and horizon too."""
    shard = ShardDriver(application(features=[f.count("10m")]))
    shard.warm()
    now = shard.state.log_time_ms
    assert shard.event("old", time_ms=stamp) is None
    assert shard.state.log_time_ms == now
    assert shard.predictions()[-1]["time_ms"] == now
    assert last_row(shard)["count_10m"] == 6
    assert shard.label("old", True, time_ms=stamp) is None
    assert shard.counters.labels_expired == 0


def test_the_first_record_may_be_decades_old() -> None:
    """A stream that begins in 1973 is a stream; nothing is stamped "now"."""
    shard = ShardDriver()
    assert shard.event("first", time_ms=EARLIEST_MS) is None
    assert shard.predictions()[0]["time_ms"] == EARLIEST_MS
    assert shard.closed[0].commit.predictions[0][2] == EARLIEST_MS
    shard.still_works()


@pytest.mark.parametrize("stamp", [0, -1, -YEAR_MS, START_MS // 1000, EARLIEST_MS - 1])
def test_a_record_stamped_in_seconds_or_not_at_all_is_refused(stamp: int) -> None:
    """Events and labels alike, each with a dead letter that says so; log time stays."""
    shard = ShardDriver()
    shard.warm()
    before = shard.state.log_time_ms
    for letter in (shard.event("e", time_ms=stamp), shard.label("warm0", True, time_ms=stamp)):
        assert letter is not None
        assert (letter.reason, "the record's time is" in letter.message) == ("bad-time", True)
    assert shard.state.log_time_ms == before
    shard.still_works()


def test_an_hour_of_silence_ends_every_wait() -> None:
    """The first record after a silence expires what waited; a burst right after is taken in full."""
    shard = ShardDriver()
    for i in range(20):
        assert shard.event(f"before{i}") is None
    shard.time_ms += 2 * HOUR_MS
    burst = [
        Record(
            EVENT, 20 + i, shard.time_ms, b"one", orjson.dumps({"event_id": f"e{i}", "features": {"x": i}})
        )
        for i in range(2_000)
    ]
    shard.processor.apply([(EVENT, burst)])
    shard.closed.append(shard.processor.seal())
    assert shard.counters.labels_expired == 20
    assert shard.counters.predictions == 2_020
    assert len(shard.state.pending) == 2_000


def test_one_id_in_two_shards_is_two_events() -> None:
    """Identity is the shard's: the same id under another shard is another event with its own label."""
    app = application(shards=2)
    for number, key in ((0, "one"), (1, "two")):
        shard = ShardDriver(app, number)
        assert shard.event("same", key=key) is None
        assert shard.label("same", True, key=key) is None
        assert shard.champion.learned == 1


@pytest.mark.parametrize("max_classes", [100, 19_999, 20_000])
def test_twenty_thousand_classes_only_if_the_definition_allows(max_classes: int) -> None:
    """`max_classes` is exact: the definition that allows 20,000 gets them, another only its own number."""
    n = 20_000
    app = application(
        task="multiclass",
        champion=Forgetful,
        labels=Labels(max_classes=max_classes),
    )
    shard = ShardDriver(app)
    value = b'{"event_id":"e%d","features":{"x":1},"label":"c%d"}'
    shard.processor.apply([(EVENT, [Record(EVENT, i, START_MS, b"k", value % (i, i)) for i in range(n)])])
    assert shard.counters.labels_learned == min(n, max_classes)
    assert shard.counters.dead_events == n - min(n, max_classes)
    assert set(shard.state.dead_by_reason) <= {reasons.LABEL_UNKNOWN_CLASS}


def test_a_gap_of_offsets_is_no_gap_of_records() -> None:
    """Aborted transactions and control records take offsets; the records around them are taken in order."""
    shard = ShardDriver()
    value = b'{"event_id":"e%d","features":{"x":1}}'
    records = [Record(EVENT, offset, START_MS, b"k", value % offset) for offset in (3, 4, 9)]
    shard.processor.apply([(EVENT, records)])
    closed = shard.processor.seal()
    assert [orjson.loads(made)["offset"] for made, _, _ in closed.commit.predictions] == [3, 4, 9]
    assert closed.commit.positions[EVENT] == 10


def test_batches_leave_no_trace() -> None:
    """How records are cut into batches decides nothing: the memory after 1 batch and after 60 is the same."""

    def run(size: int) -> str:
        shard = ShardDriver(application(features=[f.count("10m"), f.mean("x", "1h")]))
        records = []
        for i in range(60):
            event = {"event_id": f"e{i}", "features": {"x": i % 7, "y": float(i % 3)}}
            records.append(Record(EVENT, i, START_MS + i, b"k%d" % (i % 5), orjson.dumps(event)))
        labels = [
            Record(LABEL, i, START_MS + 100 + i, b"k%d" % (i % 5), b'{"event_id":"e%d","label":true}' % i)
            for i in range(60)
        ]
        for i in range(0, 60, size):
            shard.processor.apply([(EVENT, records[i : i + size])])
            shard.processor.seal()
        for i in range(0, 60, size):
            shard.processor.apply([(LABEL, labels[i : i + size])])
            shard.processor.seal()
        return state_digest(shard.state)

    assert run(1) == run(7) == run(60)
