"""kafka-python: committed records only (read_committed)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from stream_app.errors import Refused


class CommittedReader:
    """Iterates one topic's committed records from the beginning, all partitions, without joining a group.

    Ends after `max_records`, or `timeout_s` without a new one (None: never), or at the ends that the partitions had
    when it began (`until_end`).
    """

    def __init__(
        self,
        kafka: str | Mapping[str, Any],
        topic: str,
        *,
        max_records: int | None = None,
        timeout_s: float | None = None,
        until_end: bool = False,
        from_beginning: bool = True,
    ) -> None:
        config = {"bootstrap_servers": kafka} if isinstance(kafka, str) else dict(kafka)
        self.consumer = KafkaConsumer(
            **config, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest",
            max_poll_records=5_000,
        )  # fmt: skip
        partitions = self.consumer.partitions_for_topic(topic)
        if not partitions:
            self.consumer.close()
            raise Refused(f"there is no topic {topic}", "Run `stream-app topics create MODULE:APP`")
        self.partitions = [TopicPartition(topic, number) for number in sorted(partitions)]
        self.consumer.assign(self.partitions)
        self.consumer.seek_to_beginning() if from_beginning else self.consumer.seek_to_end()
        self.max_records, self.timeout_s = max_records, timeout_s
        self.ends = self.consumer.end_offsets(self.partitions) if until_end else None

    def __iter__(self) -> Iterator[ConsumerRecord]:
        count, last_s = 0, time.monotonic()
        while self.max_records is None or count < self.max_records:
            polled = self.consumer.poll(timeout_ms=200)
            for records in polled.values():
                for record in records:
                    yield record
                    count += 1
                    if self.max_records is not None and count >= self.max_records:
                        return
            if polled:
                last_s = time.monotonic()
            if self.ends is not None and all(self.consumer.position(tp) >= end for tp, end in self.ends.items()):
                return
            if self.timeout_s is not None and time.monotonic() - last_s >= self.timeout_s:
                return

    def close(self) -> None:
        self.consumer.close()


class PredictionConsumer:
    """Iterates committed predictions as dictionaries, the `value` of section "predictions" in docs/schemas."""

    def __init__(self, app: str, kafka: str | Mapping[str, Any], **options: Any) -> None:
        self.reader = CommittedReader(kafka, f"{app}.predictions", **options)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for record in self.reader:
            yield orjson.loads(record.value)

    def close(self) -> None:
        self.reader.close()
