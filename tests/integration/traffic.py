"""Awkward inputs from a seed: stamps that go back, ties, early and missing labels, weights, pauses."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
from confluent_kafka import Producer
from kafka import KafkaProducer
from river import datasets

from topics.placement import partition_for

ENTITIES = 60
EVENTS = 300
ROWS = [(x, y) for x, y in datasets.Phishing()]
STEP_MS = 2
LATE_MS = 120  # how far back a stamp may go, and how late a label may be


class Sent(msgspec.Struct):
    """One record of an input: `key` names the entity, `partition` (-1: by key) where it goes."""

    time_ms: int
    key: bytes
    value: dict[str, Any]
    partition: int = -1


class Traffic(msgspec.Struct):
    """The records of each input in the order in which they are written."""

    events: list[Sent]
    labels: list[Sent]
    commands: list[Sent]


def awkward(seed: int, shards: int, start_ms: int) -> Traffic:
    """The same for the same seed; everything happens within 2 · EVENTS + 2 · LATE_MS ms of `start_ms`."""
    dice = random.Random(seed)
    traffic = Traffic([], [], [])
    for n, (x, y) in enumerate(dice.sample(ROWS, EVENTS)):
        key = f"entity-{dice.randrange(ENTITIES)}".encode()
        time_ms = start_ms + LATE_MS + STEP_MS * n
        if dice.random() < 0.15:
            time_ms -= dice.randrange(LATE_MS)
        event = {"v": 1, "event_id": f"{seed}-{n}", "features": x}
        kind = dice.random()
        if kind < 0.12:
            event["label"] = y
        elif kind < 0.95:
            label = {"v": 1, "event_id": event["event_id"], "label": y}
            if dice.random() < 0.1:
                label["weight"] = 2.5
            # Many fall in the very millisecond of an event, so that ranks decide; a tenth come too early.
            delay_ms = dice.choice((0, STEP_MS * dice.randrange(10), dice.randrange(LATE_MS)))
            delay_ms = -dice.randrange(LATE_MS) if dice.random() < 0.1 else delay_ms
            traffic.labels.append(Sent(time_ms + delay_ms, key, label))
        traffic.events.append(Sent(time_ms, key, event))
    traffic.labels.sort(key=lambda sent: sent.time_ms + dice.randrange(LATE_MS) * (dice.random() < 0.2))
    for shard in range(shards):
        # In the very millisecond of an event that brings its label: its rank decides what is learned.
        ties = [e for e in traffic.events if "label" in e.value and partition_for(e.key, shards) == shard]
        moments = sorted(dice.sample(ties, min(4, len(ties))), key=lambda sent: sent.time_ms)
        for n, moment in enumerate(moments):
            command_id = f"{seed}-{shard}-{n}"
            command = {
                "v": 1,
                "command_id": command_id,
                "command": ("pause", "resume")[n % 2],
                "actor": "a test",
                "reason": "labels must be lost in between",
                "shard": shard,
            }
            traffic.commands.append(Sent(moment.time_ms, command_id.encode(), command, shard))
    return traffic


def write(servers: str, traffic: Mapping[str, Traffic]) -> None:
    """By application: events and commands by kafka-python, labels by confluent-kafka, both by murmur2."""
    ours = KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=5)
    theirs = Producer(
        {"bootstrap.servers": servers, "partitioner": "murmur2_random", "enable.idempotence": True}
    )
    failed: list[Any] = []

    def note(error: Any, _message: Any) -> None:
        if error:
            failed.append(error)

    try:
        for app, inputs in traffic.items():
            for topic, sents in ((f"{app}.events", inputs.events), (f"{app}.commands", inputs.commands)):
                for sent in sents:
                    place = None if sent.partition < 0 else sent.partition
                    value = orjson.dumps(sent.value)
                    ours.send(topic, value, sent.key, partition=place, timestamp_ms=sent.time_ms).add_errback(
                        failed.append
                    )
            for sent in inputs.labels:
                value = orjson.dumps(sent.value)
                theirs.produce(f"{app}.labels", value, sent.key, timestamp=sent.time_ms, on_delivery=note)
        ours.flush(20)
    finally:
        ours.close()
    assert theirs.flush(20) == 0
    assert not failed, failed
