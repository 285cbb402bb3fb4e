"""A shard as it was: the journal is replayed to a point of the past, every digest before it compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.learner.batch.merge import Run
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.verify import PAUSE_S, find_starts, replayable
from stream_app.learner.recovery.replay import replay
from stream_app.ports import Clock, ReplaySource, SnapshotStore
from topics.envelope import EVENT, Record


class Moment(NamedTuple):
    """Right before the event at `offset` is predicted, or behind the last record up to `time_ms`."""

    offset: int | None = None
    time_ms: int | None = None

    def is_before(self, record: Record) -> bool:
        """Whether a record comes after it."""
        if self.offset is not None:
            return record.rank == EVENT and record.offset >= self.offset
        return self.time_ms is not None and record.time_ms > self.time_ms


class Reached(Exception):
    """The next record comes after the moment."""


def state_as_of(
    app: Application,
    shard: int,
    moment: Moment,
    source: ReplaySource,
    store: SnapshotStore,
    clock: Clock,
    fingerprint: dict[str, Any],
    input_topics: tuple[str, ...],
    progress: Callable[[int], None] = lambda _seq: None,
) -> BatchProcessor:
    """Give the machine as it was at a moment; at the journal's end, where that comes first.

    Raises:
        Refused: the moment lies before the earliest retained state.
        Halted: the replay differs from the journal.
    """
    kept = source.earliest()
    starts = find_starts(app, shard, source, store, fingerprint, input_topics)
    usable = [one for one in starts if replayable(one[1].positions, kept) and begins_before(one[1], moment)]
    if not usable:
        raise Refused(
            f"shard {shard}: what is retained begins after that moment",
            "Name a later one; `stream-app verify MODULE:APP` says where replays begin",
        )
    _, processor, offset = usable[-1]  # the newest: the fewest batches to replay

    def apply(runs: list[Run]) -> None:
        for rank, records in runs:
            for record in records:
                if moment.is_before(record):
                    raise Reached
                processor.apply([(rank, [record])])

    with suppress(Reached):
        for more in replay(
            processor, source, offset + 1, clock, lambda sealed, _at: progress(sealed.seq), apply=apply
        ):
            if not more:
                time.sleep(PAUSE_S)
    return processor


def begins_before(processor: BatchProcessor, moment: Moment) -> bool:
    """Whether a state is not of after the moment."""
    if moment.offset is not None:
        return processor.positions[EVENT] <= moment.offset
    return moment.time_ms is None or processor.core.state.log_time_ms <= moment.time_ms
