"""confluent-kafka: polled messages as records; live and replay must read the same from the same bytes."""

from __future__ import annotations

from typing import Final, NamedTuple

from confluent_kafka import KafkaError, Message

from topics.envelope import UNREADABLE, Headers, Record

Source = tuple[int, int]  # (shard, rank)
END: Final = KafkaError._PARTITION_EOF
# The next record is no longer retained.
CUT = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}


class PolledBatch(NamedTuple):
    """Records in order, the position of an end that no record followed, and other errors by source."""

    records: dict[Source, list[Record]]
    ends: dict[Source, int]
    faults: list[tuple[Source, KafkaError]]


def group_by_partition(messages: list[Message], rank_of: dict[str, int]) -> PolledBatch:
    """What was polled by its source; records come in runs of one source, which is looked up once a run."""
    records: dict[Source, list[Record]] = {}
    ends: dict[Source, int] = {}
    faults: list[tuple[Source, KafkaError]] = []
    run: list[Record] = []
    shard, topic, rank = -1, "", -1
    for message in messages:
        here, name = message.partition() or 0, message.topic() or ""
        error = message.error()
        if error is not None:
            source = (here, rank_of.get(name, -1))
            if error.code() == END:
                ends[source] = message.offset() or 0
            else:
                faults.append((source, error))
            shard = -1  # a record after it begins a run
            continue
        if here != shard or name != topic:
            shard, topic, rank = here, name, rank_of.get(name, -1)
            run = records.setdefault((shard, rank), [])
            ends.pop((shard, rank), None)
        run.append(to_record(message, rank))
    return PolledBatch(records, ends, faults)


def to_record(message: Message, rank: int) -> Record:
    """The record of a message that carries no error."""
    try:
        headers: Headers | None = message.headers()  # type: ignore[assignment]  # the stub knows str values too
    except (SystemError, UnicodeDecodeError):  # a name that is not UTF-8; 2.16 raises the former
        headers = UNREADABLE
    return Record(
        rank, message.offset() or 0, message.timestamp()[1], message.key(), message.value(), headers
    )
