"""What the bridge needs of Kafka, as a Protocol, what goes through it, and the topics that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from stream_app.application import Application
from topics.catalog import retries_topic
from topics.envelope import Headers, Record
from topics.fitting import HEADER

Source = tuple[str, int]  # topic and partition
Restore = Callable[[bytes | None, bytes | None, Headers | None], None]


def bridged_topics(app: Application) -> list[str]:
    """The topics that an application's bridge reads, its predictions among them where they are copied."""
    topics = [*(app.inputs.names if app.inputs is not None else ()), retries_topic(app.name).name]
    return [*topics, f"{app.name}.predictions"] if app.outputs is not None else topics


class Place(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


class Routed(NamedTuple):
    """A record to write: `topic` is "events", "labels", "dead_letters", "alerts", "bridge" or "output";
    `time_ms` 0 means now, partition -1 the one of the key.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int
    time_ms: int = 0
    headers: Headers | None = None


class BridgePolled(NamedTuple):
    """Records with their topic and partition, and where the partitions end whose end was reached."""

    records: list[tuple[Source, Record]]
    ends: dict[Source, int]


class BridgeReport(NamedTuple):
    """What the metrics show: records by topic and outcome, lag by partition, and what is remembered."""

    counts: Mapping[tuple[str, str], int]
    lag: Mapping[Source, int]
    waiting: int
    ids: int
    forgotten: int
    active: bool
    waits_for_schema: bool


WAITING_LABELS = HEADER + "waiting-labels"  # how many, on a note of positions


class BridgeLog(Protocol):
    """What the loop needs of Kafka; see `adapters.kafka_bridge`."""

    def join(self) -> None: ...
    def has_seat(self, timeout_s: float) -> bool: ...
    def begin(self, restore: Restore) -> None: ...
    def look_for_partitions(self) -> dict[Source, int]: ...
    def poll(self, limit: int, timeout_s: float) -> BridgePolled: ...
    def pause(self, sources: Sequence[Source]) -> None: ...
    def resume(self, sources: Sequence[Source]) -> None: ...
    def commit(
        self, routed: Sequence[Routed], positions: Mapping[Source, int], waiting: int
    ) -> int | None: ...
    def ends(self) -> dict[Source, int]: ...
    def trim(self, before: int) -> None: ...
    def close(self) -> None: ...
