"""A shard from a backup enters its next epoch in new topics.

    1  its snapshot is saved: a learner that finds one beside an empty journal halts, and starts nothing fresh
    2  receipts and unread inputs are written
    3  the epoch record is journaled, with the group's offsets: from then on a learner goes on

So each step can be repeated after a kill, and no learner sees a part of it. Offsets begin again in new
topics. What the state remembers of them is moved along where something depends on it: when a feature's name
came first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.flow.core import Core
from stream_app.learner.batch import journal
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.epoch import save_entry
from stream_app.learner.recovery.fingerprint import changes
from stream_app.learner.recovery.recover import first_entry
from stream_app.learner.recovery.snapshots import dumped, restore
from stream_app.ports import Positions, ReplaySource, SnapshotStore
from stream_app.state.shard import ShardState
from topics.envelope import EVENT, Record
from topics.journal import EpochRecord
from topics.life import life_of

AGAIN = "Stop every learner, then run the restore again: it goes on where it was cut off"
NOT_EMPTY = (
    "The cluster must hold nothing of the application: name another one in STREAM_APP_KAFKA__…, or delete "
    "the application's topics if nothing in them is needed"
)


class Backed(msgspec.Struct):
    """One shard of a backup: its snapshot, and the name by which the new journal mentions the backup."""

    shard: int
    backup_id: str
    header: dict[str, Any]
    load: Callable[[], Any]

    def epoch_record(self, fingerprint: dict[str, Any], positions: Positions) -> EpochRecord:
        """The record that opens its next epoch."""
        head = self.header
        return EpochRecord(
            head["epoch"] + 1,
            head["seq"],
            fingerprint,
            journal.by_name(positions),
            head["digest"],
            [f"backup {self.backup_id}"],
        )


def check_same_definition(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Check that this process computes what the backup's did; input topics are others by their nature.

    Raises:
        Refused: another definition, library or platform.
    """
    was, now = ({**prints, "topics": {}} for prints in (recorded, current))
    if found := list(changes(was, now)):
        raise Refused(
            f"the backup was made with something else: {', '.join(found)}",
            "Restore with the definition and libraries of the backup (its sources are in the folder "
            "`definition`), then run `stream-app upgrade MODULE:APP`",
        )


def has_entered(source: ReplaySource, backed: Backed) -> Generator[bool, None, int | None]:
    """Where the shard's journal begins with the epoch of this very backup; None: the journal is empty.

    Raises:
        Refused: the journal is another one.
    """
    first = yield from first_entry(source, -1)
    if first is None:
        return None
    offset, record = first
    expected = backed.epoch_record({}, [0, 0, 0])
    if isinstance(record, EpochRecord) and (record.epoch, record.seq, record.digest, record.carried) == (
        expected.epoch,
        expected.seq,
        expected.digest,
        expected.carried,
    ):
        return offset
    raise Refused(
        f"shard {backed.shard} has a journal that does not begin with this backup or history", NOT_EMPTY
    )


def is_placed(store: SnapshotStore, backed: Backed, life: str, journal_offset: int | None = None) -> bool:
    """Whether the snapshot of this backup is saved, and leads to that offset of the journal (None: to any).

    Raises:
        Refused: there are snapshots of these topics that are not of this backup.
    """
    found = [header for header, _ in store.load() if header.get("life") == life]
    if any(header.get("backup", backed.backup_id) != backed.backup_id for header in found) or (
        found and not any("backup" in header for header in found)
    ):
        raise Refused(
            f"shard {backed.shard} has snapshots of these topics that are not of this backup or history, in "
            f"{store.folder}",
            NOT_EMPTY,
        )
    mine = (backed.header["epoch"] + 1, backed.header["seq"], backed.header["digest"])
    return any(
        (header["epoch"], header["seq"], header["digest"]) == mine
        and journal_offset in (None, header["journal_offset"])
        for header in found
    )


def place(
    app: Application,
    backed: Backed,
    fingerprint: dict[str, Any],
    positions: Positions,
    input_topics: tuple[str, ...],
    store: SnapshotStore,
    journal_offset: int,
) -> None:
    """Save the snapshot through which the shard enters its epoch, unless it is there.

    Raises:
        Refused: other snapshots are there, or the models answer otherwise on this machine.
    """
    if is_placed(store, backed, life_of(fingerprint["topics"]), journal_offset):
        return
    try:
        state = restore(app, backed.header, backed.load)
    except Refused as odd:
        raise Refused(
            f"shard {backed.shard}: {odd.message}", "Restore on a machine like the one of the backup"
        ) from odd
    move_offsets(state, positions[EVENT] - backed.header["positions"][EVENT])
    processor = BatchProcessor(
        Core(app, state, store.round_trip, store.refill_sets),
        input_topics,
        epoch=backed.header["epoch"] + 1,
        seq=backed.header["seq"],
        digest=backed.header["digest"],
        positions=positions,
    )
    payload = dumped(store, state).payload
    save_entry(app, processor, fingerprint, store, journal_offset, payload, backup=backed.backup_id)


def move_offsets(state: ShardState, by: int) -> None:
    """Let the offsets at which names of features first came, and those of waiting rows, count on into the new
    topic of events.

    Negative ones came before the backup; no event of the new topic has the same. Entities keep the offsets of
    their old topic: they are only shown.
    """
    for row in state.pending.items.values():
        row.offset += by
    for known in (state.type_from, state.unproven):
        for name in known:
            known[name] += by


def left_to_write(what: str, written: Iterable[Record], kept: Iterator[Record]) -> Iterator[Record]:
    """Give the records of a backup that a topic does not hold yet, after a restore that was cut off.

    Raises:
        Refused: the topic holds anything else than the first of them.
    """
    for record in written:
        expected = next(kept, None)
        if expected is None or content(record) != content(expected):
            raise Refused(f"{what} holds records that are not of this backup", NOT_EMPTY)
    return kept


def content(record: Record) -> tuple[object, ...]:
    """What is restored of a record; clients cannot write the time 0, so 1 stands for it."""
    return record.key, record.value, max(1, record.time_ms), record.headers or None
