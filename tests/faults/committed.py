"""What a read_committed consumer of another client library sees: kafka-python, none of the learner's code."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

logging.getLogger("kafka").setLevel(logging.CRITICAL)

COMMANDS, EVENTS, LABELS = 0, 1, 2
INPUTS = ("commands", "events", "labels")
OUTPUTS = ("predictions", "dead-letters", "stats", "alerts", "journal")
SILENT_POLLS = 150  # of 0.2 s without a record before the reader gives up
ERRORS = "__stream_app.errors."


class Stored(msgspec.Struct, gc=False):
    """One committed record."""

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def read_topic(servers: str, topic: str, partitions: int) -> list[list[Stored]]:
    """Every committed record by partition, from the beginning to the end that the topic has now.

    Raises:
        TimeoutError: the end is not reached; a transaction may have stayed open.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=5_000,
    )
    try:
        wanted = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(wanted)
        ends = consumer.end_offsets(wanted)
        consumer.seek_to_beginning()
        found: list[list[Stored]] = [[] for _ in wanted]
        silent = 0
        while any(consumer.position(tp) < ends[tp] for tp in wanted):
            polled = consumer.poll(timeout_ms=200)
            silent = 0 if polled else silent + 1
            if silent > SILENT_POLLS:
                raise TimeoutError(f"{topic} has no committed record up to its end {ends}")
            for tp, records in polled.items():
                found[tp.partition] += [
                    Stored(r.offset, r.timestamp, r.key, r.value, dict(r.headers)) for r in records
                ]
        return found
    finally:
        consumer.close()


def read_application(servers: str, name: str, shards: int) -> dict[str, list[list[Stored]]]:
    """All topics of an application by their short names."""
    return {short: read_topic(servers, f"{name}.{short}", shards) for short in (*INPUTS, *OUTPUTS)}


def group_offsets(servers: str, group: str) -> dict[tuple[str, int], int]:
    """The group's committed offset by topic and partition, where the broker has one."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        offsets = admin.list_group_offsets({group: None})[group]
    finally:
        admin.close()
    return {(tp.topic, tp.partition): int(found.offset) for tp, found in offsets.items()}


def letters_of(name: str, shard: int, records: Iterable[Stored], complain: Callable[[str], None]) -> Any:
    """(rank, offset) → reason of a shard's dead letters; a record that is there twice is a violation.

    Those of the bridge are about records that no shard reads.
    """
    found: dict[tuple[int, int], str] = {}
    for record in records:
        told = {
            key.removeprefix(ERRORS): value.decode() for key, value in record.headers.items() if ERRORS in key
        }
        if told["stage"] == "bridge":
            continue
        rank = INPUTS.index(told["topic"].removeprefix(f"{name}."))
        place = (rank, int(told["offset"]))
        if int(told["partition"]) != shard:
            complain(f"dead letter of partition {told['partition']} lies in {shard}")
        if place in found:
            complain(f"{INPUTS[rank]}@{place[1]} is in the dead letters twice")
        found[place] = told["reason"]
    return found
