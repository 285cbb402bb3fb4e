"""The SDK against a real broker."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer

from stream_app.application import Application, Limits
from stream_app.client import CommittedReader, EventProducer, PredictionConsumer
from stream_app.embedded.services import Endpoints
from stream_app.errors import Refused, StreamAppError, UsageError
from stream_app.inspect.tail_reader import TailReader
from tests.integration.command_line import CommandLine
from topics.placement import partition_for

ABSENT = """
from stream_app.client import EventProducer, PredictionConsumer
from stream_app.errors import Refused
for make in (EventProducer, PredictionConsumer):
    try:
        make("app", {"bootstrap_servers": ["127.0.0.1:1"], "bootstrap_timeout_ms": 300})
    except Refused as error:
        print(error)
"""


def read(app: CommandLine, topic: str, **options: Any) -> list[Any]:
    """All that is committed in a topic now."""
    with CommittedReader(
        app.services.bootstrap_servers, f"{app.name}.{topic}", until_end=True, **options
    ) as reader:
        return list(reader)


@pytest.fixture
def producer(created: CommandLine) -> Iterator[EventProducer]:
    """A producer for the test's application."""
    with EventProducer(created.name, created.services.bootstrap_servers) as found:
        yield found


def test_a_peek_reads_again_what_it_has_peeked_at(created: CommandLine, producer: EventProducer) -> None:
    """Partitions that it paused once their first record was found are read again by the next question."""
    event_id = producer.send("a key", {"x": 1.0})
    producer.flush()
    topic, shard = f"{created.name}.events", partition_for(b"a key", 2)
    with TailReader(created.services.bootstrap_servers, [topic]) as peek:
        for _ in range(2):
            assert peek.stamps_ms({(topic, shard): (0, 1)}).keys() == {(topic, shard)}
        assert orjson.loads(peek.newest(topic, 2)[shard].value)["event_id"] == event_id


def test_events_and_labels_arrive_as_the_contract_says(created: CommandLine, producer: EventProducer) -> None:
    """Value, key, event time and partition: the entity's own, by murmur2, the same for event and label."""
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    for number in range(20):
        key = f"entity {number}"
        event_id = producer.send(key, {"x": number, "ok": True}, f"e{number}", time=moment)
        producer.label(key, event_id, label=False, weight=2.0, time=moment)
    producer.flush()
    events, labels = read(created, "events"), read(created, "labels")
    assert len(events) == len(labels) == 20
    for record in (*events, *labels):
        assert record.timestamp == 1_767_312_000_000
        assert record.partition == partition_for(record.key, 2)
    assert {record.partition for record in events} == {0, 1}
    values = {record.key.decode(): orjson.loads(record.value) for record in events}
    assert values["entity 3"] == {"v": 1, "event_id": "e3", "features": {"x": 3, "ok": True}}
    values = {record.key.decode(): orjson.loads(record.value) for record in labels}
    assert values["entity 3"] == {"v": 1, "event_id": "e3", "label": False, "weight": 2.0}


def test_an_event_has_an_id_of_its_own_and_may_carry_its_label(
    created: CommandLine, producer: EventProducer
) -> None:
    """Without event_id one is made; an inline label, False included, travels in the event."""
    ids = {producer.send("k", {"x": 1}), producer.send("k", {"x": 1}, label=False)}
    producer.flush()
    values = [orjson.loads(record.value) for record in read(created, "events")]
    assert len(ids) == 2
    assert {value["event_id"] for value in values} == ids
    assert ["label" in value for value in values] == [False, True]


@pytest.mark.parametrize(
    ("features", "label", "why"),
    [
        ({"a": {"b": 1}}, True, "feature 'a' is dict"),
        ({"a": [1]}, True, "feature 'a' is list"),
        ({"x": 1e16}, True, "beyond ±1e"),
        ({"x" * 65: 1}, True, "longer than 64"),
        ({"__deleted": "false"}, True, "two underscores"),
        ({"x": 1}, None, "the label is null"),
        ({"x": 1}, {"a": 1}, "the label is dict"),
    ],
)
def test_what_every_learner_would_refuse_is_not_sent(
    created: CommandLine, producer: EventProducer, features: dict[str, Any], label: Any, why: str
) -> None:
    """The error is where the code is that made the record, not in a dead letter."""
    with pytest.raises(UsageError, match=re.escape(why)):
        producer.send("k", features, label=label)
    producer.flush()
    assert list(read(created, "events")) == []


def test_a_definition_judges_by_its_task_and_bounds(created: CommandLine) -> None:
    """Given instead of the name: its types, its limits and its labels."""
    definition = Application(
        name=created.name,
        task="regression",
        champion=lambda seed: seed,
        types={"plan": "string"},
        limits=Limits(max_features=2),
    )
    with EventProducer(definition, created.services.bootstrap_servers) as producer:
        for features in ({"plan": 1}, {"a": 1, "b": 2, "c": 3}):
            with pytest.raises(UsageError):
                producer.send("k", features)
        with pytest.raises(UsageError, match="a regression target is a number"):
            producer.label("k", "e", "high")
        producer.send("k", {"plan": "a", "x": 1}, label=2.5)
    assert len(list(read(created, "events"))) == 1


def test_a_refused_record_leaves_nothing_behind(created: CommandLine, producer: EventProducer) -> None:
    """A refusal comes before the send, and the producer goes on."""
    with pytest.raises(UsageError):
        producer.send("", {"x": 1})
    with pytest.raises(UsageError):
        producer.label("k", "e", float("nan"))
    producer.send("k", {"x": 1})
    producer.flush()
    assert (len(read(created, "events")), len(read(created, "labels"))) == (1, 0)


def test_commands_go_to_the_shards_concerned(created: CommandLine, producer: EventProducer) -> None:
    """To one shard, to the shard of a key, or to all; one id throughout."""
    one = producer.command("pause", actor="me", reason="test", shard=1)
    keyed = producer.command("forget", actor="me", reason="test", key="entity")
    every = producer.command("resume", actor="me", reason="test")
    producer.flush()
    found = [(record.partition, orjson.loads(record.value)) for record in read(created, "commands")]
    assert (one.shards, keyed.shards, every.shards) == ([1], [partition_for(b"entity", 2)], [0, 1])
    for sent in (one, keyed, every):
        mine = [(shard, value) for shard, value in found if value["command_id"] == sent.command_id]
        assert sorted(shard for shard, _ in mine) == sent.shards
        assert all(value["shard"] == shard for shard, value in mine)


def test_a_missing_topic_is_refused_with_its_remedy(stream_app: CommandLine) -> None:
    """Both sides name the command that creates it."""
    kafka = stream_app.services.bootstrap_servers
    with (
        EventProducer(stream_app.name, kafka, max_block_ms=500) as producer,
        pytest.raises(Refused) as caught,
    ):
        producer.send("k", {"x": 1})
    assert "topics create" in caught.value.remedy
    with pytest.raises(Refused, match="there is no topic"):
        PredictionConsumer(stream_app.name, kafka)


def test_an_absent_broker_is_refused_with_its_remedy() -> None:
    """Within the time that the caller grants, not after minutes."""
    # In a process of its own, since kafka-python leaves sockets open when it cannot connect.
    done = subprocess.run(
        [sys.executable, "-c", ABSENT], capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("no Kafka broker answers at 127.0.0.1:1 ") for line in lines)
    assert all("services up" in line for line in lines)


def test_a_record_that_the_broker_refuses_is_told_at_the_next_call(created: CommandLine) -> None:
    """A failure is neither lost nor raised in a background thread."""
    producer = EventProducer(created.name, created.services.bootstrap_servers)
    producer.producer.send(
        f"{created.name}.events", b"{}", b"k", timestamp_ms=253_402_300_799_000
    ).add_errback(producer.note, f"{created.name}.events")
    with pytest.raises(StreamAppError, match="too far ahead") as caught:
        producer.flush()
    assert "clock" in caught.value.remedy
    with pytest.raises(StreamAppError, match="too far ahead"):
        producer.send("k", {"x": 1})
    producer.close()


@pytest.fixture
def transactional(created: CommandLine) -> Iterator[Producer]:
    """A learner's kind of producer."""
    config = {"bootstrap.servers": created.services.bootstrap_servers, "transactional.id": created.name}
    producer = Producer(config)
    producer.init_transactions(10)
    yield producer
    producer.close()


def prediction(number: int) -> bytes:
    """A prediction as a learner writes it."""
    value = {
        "v": 1,
        "event_id": f"e{number}",
        "key": "k",
        "time_ms": 5,
        "prediction": True,
        "probabilities": {"true": 1.0},
        "model": {"name": "champion", "version": 1},
        "learned": 0,
        "cold": False,
        "shard": 0,
        "offset": number,
        "added_by_a_newer_learner": 1,
    }
    return orjson.dumps(value)


def test_only_committed_predictions_are_read(created: CommandLine, transactional: Producer) -> None:
    """Neither an aborted transaction's nor an open one's; and an open one does not keep a reader waiting."""
    topic = f"{created.name}.predictions"
    for number, end in enumerate((transactional.commit_transaction, transactional.abort_transaction, None)):
        transactional.begin_transaction()
        transactional.produce(topic, prediction(number), "k", 0)
        transactional.flush()
        if end is not None:
            end(10)
    with PredictionConsumer(created.name, created.services.bootstrap_servers, until_end=True) as consumer:
        assert [value["event_id"] for value in consumer] == ["e0"]
    transactional.commit_transaction(10)
    with PredictionConsumer(created.name, created.services.bootstrap_servers, until_end=True) as consumer:
        found = list(consumer.typed())
    assert [record.event_id for record in found] == ["e0", "e2"]
    assert found[0].probabilities == {"true": 1.0}
    assert found[0].model.name == "champion"


def test_a_reader_ends_where_it_is_told(created: CommandLine, services: Endpoints) -> None:
    """After so many records, at the end, after a silence, and from now on instead of from the beginning."""
    plain = KafkaProducer(bootstrap_servers=services.bootstrap_servers)
    for number in range(5):
        plain.send(f"{created.name}.alerts", b"%d" % number, partition=number % 2)
    plain.flush()
    assert len(read(created, "alerts")) == 5
    assert len(read(created, "alerts", max_records=3)) == 3
    topic = f"{created.name}.alerts"
    with CommittedReader(services.bootstrap_servers, topic, timeout_s=0.4) as reader:
        assert len(list(reader)) == 5
    with CommittedReader(services.bootstrap_servers, topic, timeout_s=2.0, from_beginning=False) as reader:
        plain.send(topic, b"new", partition=0)
        plain.flush()
        assert [record.value for record in reader] == [b"new"]
    plain.close()


def test_an_empty_topic_ends_at_once(created: CommandLine) -> None:
    """There is nothing to wait for."""
    assert read(created, "predictions") == []
