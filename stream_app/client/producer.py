"""kafka-python: events, labels and commands, placed by murmur2 and checked before they leave."""

from __future__ import annotations

import time as wall
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any
from uuid import uuid4

import orjson
from kafka import KafkaProducer

from stream_app.errors import UsageError

LONGEST_KEY_BYTES = 256
LARGEST_VALUE_BYTES = 65_536  # the learner refuses larger ones before parsing
FURTHEST_AHEAD_MS = 600_000  # of the topics' message.timestamp.after.max.ms
UNSET = object()


class EventProducer:
    """`send` an event, `label` it later; a context manager that flushes at its end.

    `kafka` is a bootstrap address or kafka-python's keyword arguments (`Settings.kafka.kafka_python()`).

    Raises:
        UsageError: the record would be refused later; its remedy names the fix. Nothing was sent.
    """

    def __init__(self, app: str, kafka: str | Mapping[str, Any], **tuning: Any) -> None:
        config = {"bootstrap_servers": kafka} if isinstance(kafka, str) else dict(kafka)
        self.app = app
        self.failed: Exception | None = None
        options = {
            "acks": "all", "enable_idempotence": True, "linger_ms": 5, "batch_size": 262_144, "compression_type": "lz4",
            "max_block_ms": 30_000,
        }  # fmt: skip
        self.producer = KafkaProducer(**{**config, **options, **tuning})

    def send(
        self,
        key: str,
        features: Mapping[str, Any],
        event_id: str | None = None,
        label: Any = UNSET,
        time: int | datetime | None = None,
    ) -> str:
        """Produce one event and give its id. `time`: event time in epoch ms or an aware datetime, default now."""
        event_id = uuid4().hex if event_id is None else event_id
        value: dict[str, Any] = {"v": 1, "event_id": event_id, "features": features}
        if label is not UNSET:
            value["label"] = label
        self.produce("events", key, value, time)
        return event_id

    def label(
        self, key: str, event_id: str, label: Any, weight: float | None = None, time: int | datetime | None = None
    ) -> None:
        """Produce one label under its event's key."""
        value: dict[str, Any] = {"v": 1, "event_id": event_id, "label": label}
        if weight is not None:
            value["weight"] = weight
        self.produce("labels", key, value, time)

    def command(self, command: str, shard: int, *, actor: str, reason: str, key: str | None = None) -> str:
        """Command one shard and give the command's id; its outcome appears in `<app>.models`."""
        command_id = uuid4().hex
        value: dict[str, Any] = {
            "v": 1, "command_id": command_id, "command": command, "shard": shard, "actor": actor, "reason": reason,
        }  # fmt: skip
        if key is not None:
            value["key"] = key
        future = self.producer.send(f"{self.app}.commands", orjson.dumps(value), command_id.encode(), partition=shard)
        future.add_errback(self.note)
        return command_id

    def produce(self, topic: str, key: str, value: dict[str, Any], time: int | datetime | None) -> None:
        if self.failed is not None:
            raise self.failed
        encoded_key = check_key(key)
        body = encode(value)
        stamp = check_time(time)
        future = self.producer.send(f"{self.app}.{topic}", body, encoded_key, timestamp_ms=stamp)
        future.add_errback(self.note)

    def note(self, error: Exception) -> None:
        self.failed = error

    def flush(self) -> None:
        """Wait until all is acknowledged.

        Raises:
            KafkaError: a record could not be written; those before it may have been.
        """
        self.producer.flush()
        if self.failed is not None:
            raise self.failed

    def close(self) -> None:
        self.producer.close()

    def __enter__(self) -> EventProducer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()


def check_key(key: str) -> bytes:
    if not isinstance(key, str) or not key:
        raise UsageError("a record needs a key, the entity that it is about", "Pass a non-empty string as key")
    encoded = key.encode()
    if len(encoded) > LONGEST_KEY_BYTES or b"\x00" in encoded:
        raise UsageError(
            f"the key has {len(encoded)} bytes or a NUL", f"Use at most {LONGEST_KEY_BYTES} bytes without NUL"
        )
    return encoded


def encode(value: dict[str, Any]) -> bytes:
    for name, part in value.get("features", {}).items():
        if isinstance(part, float) and part - part != 0:
            raise UsageError(f"feature {name!r} is {part}, which JSON cannot carry", "Leave the feature out")
    label = value.get("label")
    if isinstance(label, float) and label - label != 0:
        raise UsageError(f"the label is {label}, which JSON cannot carry", "Send a finite number")
    try:
        body = orjson.dumps(value)
    except TypeError as error:
        raise UsageError(f"the record is no JSON: {error}", "Send numbers, strings and booleans") from error
    if len(body) > LARGEST_VALUE_BYTES:
        raise UsageError(f"the record has {len(body)} bytes", f"Keep it within {LARGEST_VALUE_BYTES} bytes")
    return body


def check_time(time: int | datetime | None) -> int | None:
    """Epoch ms; a stamp in microseconds or far ahead would drag the shard's log time with it."""
    if time is None:
        return None
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise UsageError("the time has no time zone", "Pass an aware datetime or epoch milliseconds")
        time = int(time.timestamp() * 1000)
    ahead_ms = time - wall.time_ns() // 1_000_000
    if ahead_ms > FURTHEST_AHEAD_MS:
        raise UsageError(
            f"the time {time} lies {ahead_ms // 1000} s ahead",
            "Pass epoch milliseconds (not micro- or nanoseconds), at most 10 minutes ahead",
        )
    return max(0, time)
