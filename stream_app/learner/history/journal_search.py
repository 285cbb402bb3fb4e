"""Places in a shard's journal: where an epoch ends, and where a batch began."""

from __future__ import annotations

import time

from stream_app.learner.batch import journal
from stream_app.learner.history.verify import PAUSE_S, drain
from stream_app.learner.recovery.recover import first_entry
from stream_app.ports import Positions, ReplaySource
from topics.batch_id import BatchId
from topics.journal import AttemptRecord, BatchRecord, EpochRecord


def end_of_epoch(source: ReplaySource, epoch: int, seq: int, offset: int) -> int:
    """The number of an epoch's last batch, at or behind batch `seq`, which is at a journal offset."""
    for entry in source.journal(offset + 1):
        if entry is None:
            time.sleep(PAUSE_S)
            continue
        record = journal.read(entry.value, entry.offset)
        if isinstance(record, BatchRecord) and record.epoch == epoch:
            seq = record.seq
        elif isinstance(record, EpochRecord):
            break
    return seq


def begun_at(source: ReplaySource, batch: BatchId) -> tuple[Positions, int] | None:
    """The positions at which a batch began, and its log time; None where the journal does not hold it.

    Each batch takes up an offset at least, most take two, so each look halves the way.
    """
    first = drain(first_entry(source, -1))
    offset = None if first is None else first[0]
    while offset is not None:
        found = entry_from(source, offset)
        if found is None:
            return None
        at, record = found
        here = BatchId(record.epoch, record.seq)
        if here == batch and isinstance(record, BatchRecord):
            return [start for start, _, _ in record.inputs.values()], record.log_time
        offset = None if here > batch else at + max(1, batch.seq - here.seq)
    return None


def entry_from(source: ReplaySource, offset: int) -> tuple[int, BatchRecord | EpochRecord] | None:
    """The first batch or epoch at or behind a journal offset, and where it is."""
    for entry in source.journal(offset):
        if entry is None:
            time.sleep(PAUSE_S)
            continue
        record = journal.read(entry.value, entry.offset)
        if not isinstance(record, AttemptRecord):
            return entry.offset, record
    return None
