"""kafka-python: committed records only, nothing of an aborted transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from stream_app.client.connect import Closing, Kafka, arguments, connecting, reading
from stream_app.errors import NO_TOPIC_FIX, Refused
from topics.records import Prediction

POLL_MS = 200


class CommittedReader(Closing):
    """Iterates one topic's committed records, all partitions, without joining a group; a context manager.

    Ends after `max_records`, after `timeout_s` without a new one (None: never), or at the ends that the
    partitions had when it began (`until_end`). `from_beginning=False`: only what is written from now on.

    Raises:
        Refused: no broker answers, there is no such topic, or its records cannot be read.
    """

    def __init__(
        self,
        kafka: Kafka,
        topic: str,
        *,
        max_records: int | None = None,
        timeout_s: float | None = None,
        until_end: bool = False,
        from_beginning: bool = True,
    ) -> None:
        with connecting(kafka):
            self.consumer = KafkaConsumer(
                **arguments(kafka),
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_poll_records=5_000,
            )
        numbers = self.consumer.partitions_for_topic(topic)
        if not numbers:
            self.consumer.close()
            raise Refused(f"there is no topic {topic}", NO_TOPIC_FIX)
        self.partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        self.consumer.assign(self.partitions)
        self.topic, self.max_records, self.timeout_s = topic, max_records, timeout_s
        with reading(topic):
            self.ends = self.consumer.end_offsets(self.partitions) if until_end else None
            if from_beginning:
                self.consumer.seek_to_beginning()
            else:
                self.consumer.seek_to_end()
                for partition in self.partitions:
                    self.consumer.position(partition)  # "now" is this moment, not that of the first poll

    def __iter__(self) -> Iterator[ConsumerRecord]:
        left = self.max_records
        last_s = time.monotonic()
        while left is None or left > 0:
            with reading(self.topic):
                polled = self.consumer.poll(timeout_ms=POLL_MS, max_records=left)
            for records in polled.values():
                yield from records
                left = None if left is None else left - len(records)
            if polled:
                last_s = time.monotonic()
            elif self.timeout_s is not None and time.monotonic() - last_s >= self.timeout_s:
                return
            if self.at_end():
                return

    def at_end(self) -> bool:
        """True once every partition is read up to the end it had at the start."""
        if self.ends is None:
            return False
        with reading(self.topic):
            return all(self.consumer.position(partition) >= end for partition, end in self.ends.items())

    def seek(self, partition: int, offset: int) -> None:
        """Go on from an offset of one partition."""
        self.consumer.seek(self.partitions[partition], offset)

    def close(self) -> None:
        """Let go of the connection."""
        self.consumer.close()


class PredictionConsumer(Closing):
    """Iterates committed predictions as dictionaries (docs/schemas); `typed` as `topics.records.Prediction`.

    `options` are those of `CommittedReader`: max_records, timeout_s, until_end, from_beginning.
    """

    def __init__(self, app: str, kafka: Kafka, **options: Any) -> None:
        self.reader = CommittedReader(kafka, f"{app}.predictions", **options)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for record in self.reader:
            yield orjson.loads(record.value)

    def typed(self) -> Iterator[Prediction]:
        """The same, checked against the schema; fields that a newer learner adds are ignored."""
        decode = msgspec.json.Decoder(Prediction).decode
        for record in self.reader:
            yield decode(record.value)

    def close(self) -> None:
        """Let go of the connection."""
        self.reader.close()
