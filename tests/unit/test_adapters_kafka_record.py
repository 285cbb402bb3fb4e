"""Polled messages by source, on the client's own messages."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message

from stream_app.adapters.kafka_record import group_by_partition
from topics.envelope import EVENT, LABEL

RANK_OF = {"a.commands": 0, "a.events": 1, "a.labels": 2}


def message(topic: str, shard: int, offset: int, error: int | None = None) -> Message:
    """One message of the client's, or what it tells instead of one."""
    return Message(
        topic=topic,
        partition=shard,
        offset=offset,
        key=b"k",
        value=b"v",
        timestamp=(1, 99 + offset),
        error=None if error is None else KafkaError(error),
    )


def test_records_are_sorted_by_shard_and_input_in_their_order() -> None:
    """Sources that take turns keep each its own order, rank and stamps."""
    polled = [message("a.events", 0, 5), message("a.labels", 0, 7), message("a.events", 1, 3)]
    polled += [message("a.events", 0, 6), message("a.events", 0, 8)]
    found = group_by_partition(polled, RANK_OF)
    offsets = {source: [record.offset for record in records] for source, records in found.records.items()}
    assert offsets == {(0, EVENT): [5, 6, 8], (0, LABEL): [7], (1, EVENT): [3]}
    first = found.records[0, EVENT][0]
    assert (first.rank, first.time_ms, first.key, first.value) == (EVENT, 104, b"k", b"v")
    assert not first.headers
    assert not found.ends
    assert not found.faults


def test_an_end_counts_only_if_no_record_followed() -> None:
    """Each source by itself: one that goes on after its end is not at it."""
    end = KafkaError._PARTITION_EOF
    polled = [message("a.events", 0, 5), message("a.events", 0, 6, end), message("a.events", 0, 6)]
    polled += [message("a.labels", 0, 9, end), message("a.events", 1, 2, end), message("a.events", 0, 7)]
    found = group_by_partition(polled, RANK_OF)
    assert [record.offset for record in found.records[0, EVENT]] == [5, 6, 7]
    assert found.ends == {(0, LABEL): 9, (1, EVENT): 2}


def test_other_errors_are_told_with_their_source() -> None:
    """One of an input names its shard and rank, one of the client neither."""
    polled = [
        message("a.events", 3, 5, KafkaError.OFFSET_OUT_OF_RANGE),
        Message(error=KafkaError(KafkaError._ALL_BROKERS_DOWN)),
    ]
    found = group_by_partition(polled, RANK_OF)
    assert [(source, error.code()) for source, error in found.faults] == [
        ((3, EVENT), KafkaError.OFFSET_OUT_OF_RANGE),
        ((0, -1), KafkaError._ALL_BROKERS_DOWN),
    ]
    assert not found.records
