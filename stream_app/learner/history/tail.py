"""The journal from a point to its end: where it ends, and from where on its batches can be replayed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec

from stream_app.errors import Halted
from stream_app.learner.batch import journal
from stream_app.learner.recovery.guards import Forked, check_continued, positions_after
from stream_app.learner.recovery.replay import WAITING
from stream_app.ports import Positions, ReplaySource
from topics.journal import BatchRecord, EpochRecord

BEFORE_ALL = -2  # the journal is read from offset −1 then, its earliest record


class Tail(msgspec.Struct):
    """The end of a journal: `seq`, `digest`, `positions` are of its newest batch, `epoch` is its highest.

    `batches` counts those after the start, `first` is the seq of the first. Those before `replayable_seq`
    cannot be replayed: the journal has a gap behind them, or their inputs are no longer retained. That batch
    is at journal offset `replayable_offset` (−1: there is none) and begins at `replayable_positions` of the
    inputs. `version` is the highest version of a model that they name.
    """

    offset: int
    epoch: int
    seq: int
    digest: str
    positions: Positions
    fingerprint: dict[str, Any]
    batches: int = 0
    first: int = 0
    replayable_seq: int = 0
    replayable_offset: int = -1
    replayable_positions: Positions = []
    version: int = 0
    entered: list[int] = []  # epochs that begin after the start
    forked: list[int] = []  # of these, those that do not continue the journal

    def enter(self, record: EpochRecord, offset: int) -> None:
        """Pass an epoch record; one that does not continue the journal ends nothing."""
        self.epoch = max(self.epoch, record.epoch)
        self.entered = [*self.entered, record.epoch]
        if self.seq >= 0:
            try:
                check_continued(self.seq, self.digest, self.positions, record, offset)
            except Forked:
                self.forked = [*self.forked, record.epoch]
                return
        self.end_at(record)

    def follow(self, record: BatchRecord, offset: int, retained: Positions) -> None:
        """Pass a batch."""
        starts = [start for start, _, _ in record.inputs.values()]
        whole = self.seq < 0 or (record.seq, starts) == (self.seq + 1, self.positions)
        kept = all(
            not n or start >= low for (start, _, n), low in zip(record.inputs.values(), retained, strict=True)
        )
        if not self.batches:
            self.first = record.seq
        if not whole or not kept:
            self.replayable_seq, self.replayable_offset = record.seq + 1, -1
        if kept and self.replayable_offset < 0:
            self.replayable_seq, self.replayable_offset = record.seq, offset
            self.replayable_positions = [max(pair) for pair in zip(starts, retained, strict=True)]
        self.batches += 1
        self.epoch = max(self.epoch, record.epoch)
        self.version = max([self.version, *(decision.get("version", 0) for decision in record.decisions)])
        self.end_at(record)

    def end_at(self, record: BatchRecord | EpochRecord) -> None:
        """The journal ends here, as far as it is read."""
        self.seq, self.digest, self.positions = record.seq, record.digest, positions_after(record)
        if isinstance(record, EpochRecord):
            self.fingerprint = record.fingerprint


def read_tail(source: ReplaySource, tail: Tail) -> Generator[bool, None, Tail]:
    """Follow the journal from `tail`, which is its start, to its end.

    A damaged record is a gap; the newest one may not be damaged, for where the journal ends it alone knows.

    Raises:
        Halted: the newest record cannot be read.
    """
    retained = source.earliest()
    damaged: Halted | None = None
    for entry in source.journal(tail.offset + 1):
        if entry is None:
            yield WAITING
            continue
        tail.offset = entry.offset
        try:
            record = journal.read(entry.value, entry.offset)
        except Halted as error:
            damaged = error
            continue
        damaged = None
        if isinstance(record, EpochRecord):
            tail.enter(record, entry.offset)
        elif isinstance(record, BatchRecord):
            tail.follow(record, entry.offset, retained)
    if damaged is not None:
        raise Halted(
            f"the newest record of the journal cannot say where it ends: {damaged.message}",
            "Restore the journal topic from a backup, or start the application under a new name",
        )
    return tail


def check_unmoved(source: ReplaySource, offset: int) -> Generator[bool, None, bool]:
    """Whether the record at `offset` is still the journal's newest."""
    for entry in source.journal(offset + 1):
        if entry is None:
            yield WAITING
            continue
        return False
    return True
