"""A shard's newest state for a backup: replayed, so that nothing is joined, fenced or written.

The journal's end is the one that it had when the backup began. A learner may commit meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from stream_app.application import Application
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.history.as_of import Moment, start_before
from stream_app.learner.history.epoch import save_entry
from stream_app.learner.history.past import Past
from stream_app.learner.history.verify import PAUSE_S, drain
from stream_app.learner.recovery.replay import replay
from stream_app.learner.recovery.snapshots import dumped
from stream_app.ports import JournalEntry, Positions, ReplaySource, SnapshotStore
from topics.codec import MOST_HEADERS
from topics.envelope import UNREADABLE, Headers, Record

END = Moment()  # no record comes after it


class ClosedJournal:
    """A replay's source whose journal ends before offset `end`, whatever is committed behind it."""

    def __init__(self, source: ReplaySource, end: int) -> None:
        self.source, self.end = source, end

    def journal(self, from_offset: int) -> Iterator[JournalEntry | None]:
        """Journal records in order, those before the end."""
        if from_offset >= self.end:
            return
        for entry in self.source.journal(from_offset):
            if entry is not None and entry.offset >= self.end:
                return
            yield entry

    def inputs(self, positions: Positions) -> None:
        self.source.inputs(positions)

    def read_next(self, rank: int, n: int, end: int) -> list[Record] | None:
        return self.source.read_next(rank, n, end)

    def earliest(self) -> Positions:
        return self.source.earliest()

    def committed(self) -> list[int | None]:
        return self.source.committed()

    def predicted(self) -> int | None:
        return self.source.predicted()

    def group(self) -> bytes:
        return self.source.group()

    def close(self) -> None:
        self.source.close()


class ShardAtEnd(NamedTuple):
    """A shard at its journal's end; its offsets are those where the replay `began`, and of the last batch."""

    processor: BatchProcessor
    began: int
    newest: int


def state_at_end(past: Past) -> ShardAtEnd:
    """Replay a shard from its newest snapshot to its journal's end, and compare every digest.

    Raises:
        Refused: another definition runs here, or there is no start: no learner ran, or snapshots are missing.
        Halted: the replay differs from the journal.
    """
    processor, began = start_before(past, END)
    newest = began

    def passed(sealed: SealedBatch, offset: int) -> None:
        nonlocal newest
        newest = offset
        past.on_batch(sealed, offset)

    drain(replay(processor, past.source, began + 1, past.clock, passed))
    return ShardAtEnd(processor, began, newest)


def keep_state(
    app: Application,
    found: ShardAtEnd,
    fingerprint: dict[str, Any],
    kept: SnapshotStore,
    backup_id: str,
) -> int:
    """Save the state in the backup's store; give its size in bytes."""
    payload = dumped(kept, found.processor.core.state).payload
    return save_entry(app, found.processor, fingerprint, kept, found.newest, payload, backup=backup_id)


def journal_since(source: ReplaySource, began: int) -> Iterator[JournalEntry]:
    """Read the journal's records from where a replay began."""
    for entry in source.journal(began):
        if entry is None:
            time.sleep(PAUSE_S)
        else:
            yield entry


def writable(record: Record) -> Record:
    """Give the record in a form that a client can write again.

    A header's name that is not UTF-8 cannot be written. In place of such headers stand so many that a learner
    refuses the record as well.
    """
    if record.headers is not UNREADABLE:
        return record
    headers: Headers = [("unreadable", None)] * (MOST_HEADERS + 1)
    return Record(record.rank, record.offset, record.time_ms, record.key, record.value, headers)


class Made(msgspec.Struct):
    """The batch of the journal that wrote a receipt; outcomes of commands name none."""

    fingerprint: dict[str, int] | None = None


read_made = msgspec.json.Decoder(Made).decode


def newest_receipts(records: Iterable[Record], seq: int) -> list[Record]:
    """Keep the newest record of each key, as compaction does, without receipts of batches behind `seq`."""
    newest: dict[bytes | None, Record] = {}
    for record in records:
        if batch_of(record.value) > seq:
            continue
        newest.pop(record.key, None)  # so that the order is that of the newest records
        newest[record.key] = record
    return [record for record in newest.values() if record.value is not None]


def batch_of(receipt: bytes | None) -> int:
    """The seq of the batch that wrote a receipt; −1 where it names none."""
    try:
        made = read_made(receipt or b"{}").fingerprint
    except msgspec.MsgspecError:  # another program writes here
        return -1
    return -1 if made is None else made.get("seq", -1)
