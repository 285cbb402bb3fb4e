"""kafka-python: events, labels and commands, placed by murmur2 and checked before they leave."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError
from msgspec import UNSET

from stream_app.application import Application
from stream_app.client.checks import (
    check_features,
    check_id,
    check_label,
    encoded,
    encoded_key,
    epoch_ms,
    event_value,
    label_value,
    rules_of,
)
from stream_app.client.connect import Kafka, arguments, connecting, unwritten
from topics.placement import partition_for

TUNING = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 5,
    "batch_size": 262_144,
    "compression_type": "lz4",
    "max_block_ms": 10_000,
}
CLOSE_WITHIN_S = 10.0

__all__ = ["UNSET", "EventProducer", "SentCommand"]


class SentCommand(msgspec.Struct):
    """A command's id and its shards; each answers in `<app>.models` under `<shard>/command/<id>`."""

    command_id: str
    shards: list[int]


class EventProducer:
    """`send` an event, `label` it later; a context manager that flushes at its end. Thread-safe.

    `app` is the application's name, or its definition, by whose task, types and bounds records are judged.
    `kafka` is a bootstrap address or kafka-python's keyword arguments (`Settings.kafka.kafka_python()`). What
    was sent is written when `flush` returns; a record that could not be written raises at the next call.

    Raises:
        UsageError: the record would be refused later; the remedy names the fix and nothing was sent.
        Refused: no broker, no topic or no right to write.
        StreamAppError: the broker did not take a record in time; send again under the same ids.
    """

    def __init__(self, app: str | Application, kafka: Kafka, **tuning: Any) -> None:
        self.definition = None if isinstance(app, str) else app
        self.app = app if isinstance(app, str) else app.name
        self.rules = rules_of(self.definition)
        self.failed: tuple[str, Exception] | None = None
        with connecting(kafka):
            self.producer = KafkaProducer(**{**arguments(kafka), **TUNING, **tuning})

    def send(
        self,
        key: str,
        features: Mapping[str, Any],
        event_id: str | None = None,
        label: Any = UNSET,
        time: int | datetime | None = None,
    ) -> str:
        """Produce one event and give its id. `time`: epoch ms or an aware datetime; default now."""
        if event_id is None:
            event_id = uuid4().hex
        else:
            check_id(event_id)
        check_features(self.rules, features)
        if label is not UNSET:
            check_label(self.definition, label)
        self.write("events", encoded_key(key), event_value(event_id, features, label), epoch_ms(time))
        return event_id

    def label(
        self,
        key: str,
        event_id: str,
        label: Any,
        weight: float | None = None,
        time: int | datetime | None = None,
    ) -> None:
        """Produce one label under its event's key."""
        check_id(event_id)
        check_label(self.definition, label)
        self.write("labels", encoded_key(key), label_value(event_id, label, weight), epoch_ms(time))

    def command(
        self,
        command: str,
        *,
        actor: str,
        reason: str,
        shard: int | None = None,
        key: str | None = None,
        slot: str | None = None,
        version: int | None = None,
    ) -> SentCommand:
        """Command one shard, the shard of `key`, or all of them; `slot` or `version` name a model."""
        command_id = uuid4().hex
        value: dict[str, Any] = {
            "v": 1,
            "command_id": command_id,
            "command": command,
            "actor": actor,
            "reason": reason,
        }
        named = {"slot": slot, "version": version}
        value |= {name: part for name, part in named.items() if part is not None}
        shards = self.shards() if shard is None else [shard]
        if key is not None:
            value["key"] = key
            shards = [partition_for(encoded_key(key), len(self.shards()))]
        for number in shards:
            self.write("commands", command_id.encode(), {**value, "shard": number}, None, number)
        return SentCommand(command_id, shards)

    def shards(self) -> list[int]:
        """The application's shards, as the broker knows them."""
        topic = f"{self.app}.commands"
        try:
            return sorted(self.producer.partitions_for(topic))
        except KafkaError as error:
            raise unwritten(topic, error) from error

    def write(
        self, name: str, key: bytes, value: dict[str, Any], time_ms: int | None, shard: int | None = None
    ) -> Any:
        """Hand one record to the client, give its future; the partition follows from the key unless `shard`
        is given.
        """
        self.complain()
        topic = f"{self.app}.{name}"
        body = encoded(value)
        try:
            future = self.producer.send(topic, body, key, partition=shard, timestamp_ms=time_ms)
        except KafkaError as error:
            raise unwritten(topic, error) from error
        return future.add_errback(self.note, topic)

    def note(self, topic: str, error: Exception) -> None:
        """Keep the first failure for the next call; runs in the client's thread."""
        self.failed = self.failed or (topic, error)

    def complain(self) -> None:
        """Raise what was noted."""
        if self.failed is not None:
            topic, error = self.failed
            raise unwritten(topic, error) from error

    def flush(self) -> None:
        """Wait until all that was sent is written."""
        try:
            self.producer.flush()
        except KafkaError as error:
            raise unwritten(f"{self.app}.*", error) from error
        self.complain()

    def close(self) -> None:
        """Let go of the connection; what is still on its way has ten seconds."""
        self.producer.close(timeout=CLOSE_WITHIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()
