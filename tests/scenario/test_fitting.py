"""Every output fits its client and its broker, whatever it is made of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from stream_app.adapters.kafka_writer import KafkaWriter
from stream_app.application import Labels
from stream_app.errors import StreamAppError
from stream_app.learner.batch.processor import MOST_DECISIONS, capped
from stream_app.learner.shard import Phase
from stream_app.ports import Commit, Send
from tests.scenario.fake_kafka import Writer
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import ShardDriver, application
from topics import reasons
from topics.catalog import catalog
from topics.codec import LARGEST_VALUE_BYTES, LONGEST_KEY_BYTES
from topics.envelope import EVENT, Headers, Record
from topics.fitting import HEADER, LONGEST_TEXT, Letter, dead_letter, encode_within
from topics.sizes import BROKER_BYTES, CLIENT_BYTES, LARGEST_LETTER_BYTES, LARGEST_OUTPUT_BYTES, record_bytes

REFUSAL = {"reason": "too-large", "message": "m" * 10_000, "stage": "validate", "topic": "a.events"}
MIB = 1 << 20


def headers_of(send: Send | Letter) -> dict[str, str]:
    """Our headers by their short names."""
    return {
        name.removeprefix(HEADER): (value or b"").decode()
        for name, value in send.headers or ()
        if name.startswith(HEADER)
    }


def taken_by_the_client(key: bytes | None, value: bytes | None, headers: Headers | None) -> bool:
    """Whether librdkafka takes a record under the learner's bound; no broker is asked."""
    producer = Producer(
        {"bootstrap.servers": "127.0.0.1:1", "message.max.bytes": CLIENT_BYTES, "log_level": 0}
    )
    try:
        producer.produce("t", value, key, headers=headers or [])  # type: ignore[arg-type]
    except KafkaException:
        return False
    finally:
        producer.purge()
    return True


@pytest.mark.parametrize(
    ("key", "headers"),
    [(None, None), (b"k" * 256, [("a", b"b")]), (b"k", [("name", b"x" * 300)] * 60), (b"", [("n", None)])],
    ids=["bare", "one header", "many headers", "null header"],
)
def test_our_count_is_never_below_the_clients(key: bytes | None, headers: Headers | None) -> None:
    """It takes what we count as its bound, and refuses some bytes more: a frame for each header at most."""
    value = b"0" * (CLIENT_BYTES - record_bytes(key, b"", headers))
    assert taken_by_the_client(key, value, headers)
    slack = 10 * len(headers or ()) + 1
    assert not taken_by_the_client(key, value + b"0" * slack, headers)


def test_bounds_fit_what_the_topics_declare() -> None:
    """Each topic that a learner writes takes our largest record with its frames, uncompressed."""
    topics = catalog("a", 1)
    for spec in (topics.predictions, topics.alerts, topics.models, topics.stats, topics.journal):
        assert int(spec.config["max.message.bytes"]) == BROKER_BYTES > LARGEST_OUTPUT_BYTES + 2_048
    assert int(topics.dead_letters.config["max.message.bytes"]) >= LARGEST_LETTER_BYTES + 100


LARGE: dict[str, tuple[bytes | None, bytes | None, Headers | None, str]] = {
    "value": (b"k", b"0" * (8 * MIB), [("trace", b"1")], "value"),
    "key": (b"k" * (3 * MIB), b"{}", None, "key"),
    "headers": (b"k", b"{}", [("h", b"x" * (3 * MIB))], "headers"),
    "all": (b"k" * MIB, b"v" * MIB, [("h" * 100, b"x" * MIB)], "value,key,headers"),
    "many headers": (None, None, [("h" * 50, b"x")] * 60_000, "headers"),
}


@pytest.mark.parametrize(("key", "value", "headers", "cut"), LARGE.values(), ids=LARGE.keys())
def test_a_letter_that_does_not_fit_is_cut_and_says_where_the_whole_is(
    key: bytes | None, value: bytes | None, headers: Headers | None, cut: str
) -> None:
    """What is cut is named; size and SHA-256 are the whole value's; what is kept is its beginning."""
    letter = dead_letter(
        Record(EVENT, 7, 0, key, value, headers), {**REFUSAL, "partition": "0", "offset": "7"}
    )
    told = headers_of(letter)
    assert record_bytes(letter.key, letter.value, letter.headers) < LARGEST_LETTER_BYTES
    assert taken_by_the_client(letter.key, letter.value, letter.headers)
    assert (told["cut"], told["topic"], told["partition"], told["offset"]) == (cut, "a.events", "0", "7")
    whole = value or b""
    assert (told["size"], told["sha256"]) == (str(len(whole)), sha256(whole).hexdigest())
    assert letter.value == whole[:LARGEST_VALUE_BYTES]
    assert letter.key == (key if key is None else key[:LONGEST_KEY_BYTES])


def test_a_letter_that_fits_stays_as_it_came() -> None:
    """To the byte, up to the bound, with nothing but our headers added."""
    value = os.urandom(MIB + MIB // 2)
    letter = dead_letter(Record(EVENT, 7, 0, b"k", value, [("trace", b"1")]), REFUSAL)
    assert (letter.key, letter.value) == (b"k", value)
    assert (letter.headers or [])[0] == ("trace", b"1")
    assert "cut" not in headers_of(letter)


def test_the_fake_broker_refuses_what_the_real_one_would() -> None:
    """An uncut letter of zeros, and an output beyond its topic's bound."""
    writer = Writer(World(application()))
    writer.fence()
    for send in (Send("dead_letters", b"k", b"0" * (8 * MIB)), Send("alerts", b"k", b"0" * BROKER_BYTES)):
        with pytest.raises(StreamAppError, match="MSG_SIZE_TOO_LARGE"):
            writer.commit(Commit([], [send], None, [0, 0, 0]), None)


def test_a_bomb_becomes_a_dead_letter_and_the_shard_goes_on() -> None:
    """Eight MiB of zeros: refused as too large, written cut, and the next event is predicted."""
    world = World(application())
    shard = world.shard()
    assert shard.live is not None
    world.inputs[EVENT].append(Record(EVENT, 0, world.clock.now_ms(), b"k", b"0" * (8 * MIB)))
    shard.live.offer(EVENT, [world.inputs[EVENT][0]])
    world.feed(shard, EVENT, {"event_id": "next", "features": {"x": 1}})
    assert shard.phase is Phase.LIVE
    (letter,) = [send for send in world.written if send.topic == "dead_letters"]
    assert headers_of(letter)["reason"] == reasons.TOO_LARGE
    assert len(world.predictions) == 1


def test_a_prediction_of_too_many_large_classes_leaves_their_probabilities_out() -> None:
    """Twenty classes of 60 KiB each pass a megabyte: the answer itself is served, the same in a replay."""
    shard = ShardDriver(
        application(task="multiclass", labels=Labels(max_classes=100), champion=lambda seed: Shares())
    )
    for n in range(20):
        assert shard.event(f"e{n}", label=f"{n:02}" + "c" * 60_000) is None
    largest = max(shard.closed, key=lambda closed: len(closed.commit.predictions[0][0]))
    assert len(largest.commit.predictions[0][0]) <= LARGEST_OUTPUT_BYTES
    assert shard.event("last") is None
    last = orjson.loads(shard.closed[-1].commit.predictions[0][0])
    assert "probabilities" not in last
    assert last["prediction"].startswith("00c")


class Shares:
    """Every class so far, alike."""

    def __init__(self) -> None:
        self.classes: dict[Any, float] = {}

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        return {label: 1 / len(self.classes) for label in self.classes}

    def predict_one(self, x: dict[str, Any]) -> Any:
        return next(iter(self.classes), None)

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        self.classes[y] = 1.0


def test_json_outputs_are_cut_to_their_bound() -> None:
    """Texts first; then the largest fields are emptied; what fits is written as it is."""
    small = {"v": 1, "message": "m" * 5_000, "evidence": {"x": 1.0}}
    assert orjson.loads(encode_within(small)) == small
    texts = orjson.loads(encode_within({**small, "message": "m" * (2 * MIB)}))
    assert len(texts["message"]) == LONGEST_TEXT + 1
    assert texts["evidence"] == {"x": 1.0}
    many = orjson.loads(encode_within({**small, "evidence": {str(n): "e" * 900 for n in range(3_000)}}))
    assert (many["evidence"], many["v"]) == ({}, 1)
    with pytest.raises(ValueError, match="100 are allowed"):
        encode_within({str(n): n for n in range(1_000)}, 100)


def test_a_batch_of_commands_fits_the_journal() -> None:
    """Ids of the largest size as JSON, in a batch of any size: what is left out is counted."""
    decisions = [{"command": "\x01" * 256, "outcome": "refused"}] * 4_000
    kept = capped(decisions)
    assert len(orjson.dumps(kept)) < LARGEST_OUTPUT_BYTES - 150_000  # order and positions have room
    assert kept[-1] == {"left_out": 4_000 - MOST_DECISIONS}
    assert capped(decisions[:3]) == decisions[:3]


@pytest.fixture
def broker() -> Iterator[str]:
    """The address of librdkafka's own broker, within this process."""
    host = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
    (found, *_) = host.list_topics(timeout=10).brokers.values()
    yield f"{found.host}:{found.port}"
    host.purge()  # it lives as long as its producer


def test_more_than_the_clients_queue_holds_is_waited_for(broker: str) -> None:
    """A batch of five times its queue is written in one transaction, nothing is left out."""
    topics = {name: f"t.{name}" for name in ("predictions", "dead_letters", "journal")}
    config = {"bootstrap.servers": broker, "queue.buffering.max.kbytes": 1_024, "log_level": 0}
    first = Producer(config)
    for topic in topics.values():  # which makes them
        first.produce(topic, b"", partition=0)
    first.flush(10)
    writer = KafkaWriter(config, "t.0", 0, topics, ("t.commands", "t.events", "t.labels"))
    writer.fence()
    letters = [Send("dead_letters", b"k", bytes(100_000)) for _ in range(50)]
    predictions = [(bytes(100_000), "k", 1)] * 50
    assert writer.commit(Commit(predictions, letters, b"{}", [0, 0, 0]), None) is not None
    writer.close()
    reader = Consumer({"bootstrap.servers": broker, "group.id": "g", "log_level": 0})
    for name in ("dead_letters", "predictions"):
        assert reader.get_watermark_offsets(TopicPartition(topics[name], 0), 10)[1] >= 50
    reader.close()
