"""A shard as it was: the journal is replayed to a point of the past, every digest before it compared."""

from __future__ import annotations

from typing import NamedTuple

from stream_app.errors import Refused
from stream_app.learner.batch.merge import Run
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.past import Past
from stream_app.learner.history.verify import drain, find_starts, replayable
from stream_app.learner.recovery.journal_start import check_start
from stream_app.learner.recovery.recover import confirmed, resumed
from stream_app.learner.recovery.replay import replay
from stream_app.learner.recovery.snapshots import restore
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
    """The next record comes after the moment; it is `record`."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record


class AsOf(NamedTuple):
    """A machine as it was, and the record that comes next; None at the journal's end."""

    processor: BatchProcessor
    following: Record | None


def state_as_of(past: Past, moment: Moment) -> AsOf:
    """Give the machine as it was at a moment; at the journal's end, where that comes first.

    Raises:
        Refused: the moment lies before the earliest retained state.
        Halted: the replay differs from the journal.
    """
    processor, offset = start_before(past, moment)
    following: Record | None = None

    def apply(runs: list[Run]) -> None:
        for rank, records in runs:
            for record in records:
                if moment.is_before(record):
                    raise Reached(record)
                processor.apply([(rank, [record])])

    try:
        drain(replay(processor, past.source, offset + 1, past.clock, past.on_batch, apply=apply))
    except Reached as reached:
        following = reached.record
    return AsOf(processor, following)


def start_before(past: Past, moment: Moment, until_seq: int | None = None) -> tuple[BatchProcessor, int]:
    """The newest state of the newest epoch that is not of after a moment, nor of after batch `until_seq`, and
    its place in the journal.

    Raises:
        Refused: there is none.
    """
    source, kept, epoch = past.source, past.source.earliest(), None
    for header, load in past.store.load():  # newest first: the fewest batches to replay
        epoch = header["epoch"] if epoch is None else epoch
        if header["epoch"] != epoch:
            break
        too_late = moment.offset is not None and header["positions"][EVENT] > moment.offset
        if until_seq is not None and header["seq"] > until_seq:
            continue
        if too_late or not replayable(header["positions"], kept) or not drain(confirmed(source, header)):
            continue
        was, offset = header["fingerprint"], header["journal_offset"]
        drain(check_start(source, past.shard, was, past.fingerprint, offset))
        processor = resumed(past.app, header, restore(past.app, header, load), past.topics, past.store)
        if begins_before(processor, moment):
            return processor, offset
    _, processor, offset = find_starts(past)[0]
    if (until_seq is not None and processor.seq > until_seq) or not (
        replayable(processor.positions, kept) and begins_before(processor, moment)
    ):
        raise Refused(
            f"shard {past.shard}: what is retained begins after that moment",
            "Name a later one; `stream-app verify MODULE:APP` says where replays begin",
        )
    return processor, offset


def begins_before(processor: BatchProcessor, moment: Moment) -> bool:
    """Whether a state is not of after the moment."""
    if moment.offset is not None:
        return processor.positions[EVENT] <= moment.offset
    return moment.time_ms is None or processor.core.state.log_time_ms <= moment.time_ms
