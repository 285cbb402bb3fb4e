"""confluent-kafka: reads a range of one partition, and writes records into one as they were.

Written without transactions, so that no control records come between them: offsets count the records. The
client's idempotence keeps their order, so a process that dies leaves the first of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_record import CUT, to_record
from stream_app.errors import Refused, ShardFailed
from topics.envelope import Record
from topics.sizes import CLIENT_BYTES

BATCH = 1_000
WAIT_S = 0.1
SILENT_S = 30.0  # without an answer of the broker
LOOKUP_TIMEOUT_S = 10.0
LOOKUPS, PAUSE_S = 20, 0.25  # a topic that was just created has no leader yet, or one that does not know it
NOT_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
END = KafkaError._PARTITION_EOF


class TopicCopy:
    """A consumer outside of every group, and a producer once something is written."""

    def __init__(self, config: Mapping[str, Any], group: str) -> None:
        self.config = dict(config)
        self.consumer = Consumer(
            {
                **config,
                "group.id": group,  # the client asks for one; nothing subscribes or commits
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )
        self.producer: Producer | None = None
        self.failures: list[KafkaError] = []

    def span(self, topic: str, partition: int) -> tuple[int, int]:
        """The earliest retained offset, and the one behind the last committed record.

        Raises:
            ShardFailed: the broker does not answer.
        """
        here = TopicPartition(topic, partition)
        for left in range(LOOKUPS - 1, -1, -1):
            try:
                found: tuple[int, int] = self.consumer.get_watermark_offsets(here, LOOKUP_TIMEOUT_S)
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if not left or not (reason.retriable() or reason.code() in NOT_YET):
                    raise ShardFailed(
                        f"{topic}[{partition}]: its offsets cannot be read ({error})"
                    ) from error
                time.sleep(PAUSE_S)
            else:
                return found
        raise AssertionError("unreachable")

    def read(self, topic: str, partition: int, rank: int, start: int, end: int) -> Iterator[Record]:
        """The committed records from offset `start` up to `end`.

        Raises:
            Refused: they are no longer retained.
            ShardFailed: the broker does not answer.
        """
        if start >= end:
            return
        clock = SystemClock()
        self.consumer.assign([TopicPartition(topic, partition, start)])
        heard_s = clock.monotonic()
        while True:
            messages = self.consumer.consume(BATCH, WAIT_S)
            for message in messages:
                error, offset = message.error(), message.offset() or 0
                if error is None and offset < end:
                    yield to_record(message, rank)
                elif error is None or (error.code() == END and offset >= end):
                    return
                elif error.code() != END:
                    raise fault(topic, partition, error)
            if messages:
                heard_s = clock.monotonic()
            elif clock.monotonic() - heard_s > SILENT_S:
                raise ShardFailed(f"{topic}[{partition}]: no answer within {SILENT_S:.0f} s")

    def write(self, topic: str, partition: int, records: Iterable[Record]) -> int:
        """Write records in order, with their times; give how many, once the broker has all of them.

        Raises:
            ShardFailed: it did not take one.
        """
        producer = self.producer = self.producer or Producer(
            {
                **self.config,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.max.bytes": CLIENT_BYTES,
            }
        )
        n = 0
        for n, record in enumerate(records, 1):  # noqa: B007  it is the count
            options: dict[str, Any] = {
                "key": record.key,
                "partition": partition,
                "timestamp": max(1, record.time_ms),  # 0 would mean the moment of writing
                "headers": record.headers or [],
                "on_delivery": self.delivered,
            }
            while True:
                try:
                    producer.produce(topic, record.value, **options)
                except BufferError:
                    producer.poll(WAIT_S)
                    continue
                break
            producer.poll(0)
            if self.failures:
                break
        left = producer.flush(SILENT_S)
        if self.failures or left:
            why = self.failures[0] if self.failures else f"no answer within {SILENT_S:.0f} s"
            raise ShardFailed(f"{topic}[{partition}]: records could not be written ({why})")
        return n

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failures.append(error)

    def close(self) -> None:
        """Let go of the connections."""
        self.consumer.close()


def fault(topic: str, partition: int, error: KafkaError) -> Refused | ShardFailed:
    """What an error other than a partition's end is."""
    if error.code() in CUT:
        return Refused(
            f"{topic}[{partition}] no longer retains what no batch has read ({error})",
            "Run `stream-app upgrade MODULE:APP`: it goes on behind what was deleted. Then back up",
        )
    return ShardFailed(f"{topic}[{partition}]: {error}")
