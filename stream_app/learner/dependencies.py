"""What a learner process reaches through ports, joined by `wiring`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import NamedTuple

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.learner.step_marks import StepMarks
from stream_app.ports import (
    Clock,
    InputLog,
    ModelShelf,
    ReplaySource,
    ShardWriter,
    SnapshotStore,
    Telemetry,
    View,
)


@dataclass(frozen=True)
class Tuning:
    """Limits of the loop; units in the names."""

    batch_ms: float = 30.0
    batch_records: int = 4_000
    watchdog_s: float = 20.0
    owner: str = "learner"
    publish_s: float = 1.0
    loop_watchdog_s: float = 600.0


class Inspection(NamedTuple):
    """What the broker says of the topics: why the learner must stop, and settings that endanger a promise."""

    refusal: Refused | None = None
    unsafe: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dependencies:
    """Every door of the process; `open_*` make one adapter for one shard."""

    app: Application
    input_topics: tuple[str, ...]
    log: InputLog
    open_writer: Callable[[int], ShardWriter]
    open_source: Callable[[int], ReplaySource]
    open_view: Callable[[int], View]
    open_store: Callable[[int], SnapshotStore]
    open_shelf: Callable[[int], ModelShelf]
    inspect: Callable[[], Inspection]  # asks the broker about the topics; blocks
    clock: Clock
    telemetry: Telemetry
    pool: Executor
    store_pool: Executor  # for the snapshot store, whose calls may never return
    tuning: Tuning
    marks: StepMarks = field(default_factory=StepMarks)
