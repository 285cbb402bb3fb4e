"""What enters an epoch: its record in the journal, and the snapshot through which a learner comes to it."""

from __future__ import annotations

from typing import Any

from stream_app.application import Application
from stream_app.errors import ShardFailed
from stream_app.learner.batch import journal
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.recovery.snapshots import header, save_with_answers
from stream_app.ports import Commit, ReplaySource, ShardWriter, SnapshotStore
from topics.journal import EpochRecord


def journal_epoch(shard: int, record: EpochRecord, writer: ShardWriter, source: ReplaySource) -> int:
    """Commit an epoch record, and the group's offsets with it; give its offset in the journal.

    Raises:
        ShardFailed: Kafka did not take it.
    """
    commit = Commit([], [], journal.encode(record), journal.by_rank(record.positions))
    offset = writer.commit(commit, source.group())
    if offset is None:
        raise ShardFailed(f"shard {shard}: the epoch record was committed without a report")
    return offset


def save_entry(
    app: Application,
    processor: BatchProcessor,
    fingerprint: dict[str, Any],
    store: SnapshotStore,
    journal_offset: int,
    payload: bytes,
    **more: Any,
) -> int:
    """Save the snapshot of an epoch record at a journal offset; give its size in bytes."""
    shard = processor.core.state.shard
    head = {**header(app, shard, processor, fingerprint), "journal_offset": journal_offset, **more}
    return save_with_answers(app, store, head, payload)
