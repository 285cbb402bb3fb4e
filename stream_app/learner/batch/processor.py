"""A shard's deterministic part: core, emitter and chain position, the same live and in a replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from stream_app.flow.core import Core
from stream_app.flow.step import apply_records, crash, decode_records
from stream_app.learner.batch import journal
from stream_app.learner.batch.emit import Emitter
from stream_app.learner.batch.merge import Run, pack_order
from stream_app.ports import Commit, Positions
from topics.batch_id import BatchId
from topics.envelope import RANK_NAMES, RANKS, Record
from topics.journal import AttemptRecord, BatchRecord, RefilledSets
from topics.sizes import LARGEST_OUTPUT_BYTES

# Records that are read, stepped and performed in three strides. One by one each stride finds the processor's
# caches full of the others' code; by the end of a batch its data has left them.
TOGETHER = 64
MOST_DECISIONS = 500  # in a journal record: each has an id of at most 1,536 bytes as JSON


class SealedBatch(msgspec.Struct):
    """A batch that was stepped and sealed: what to commit, and what the view is to show after the commit."""

    commit: Commit
    blobs: dict[str, bytes | None]
    previous: str
    stamp: str
    view_stamp: str
    seq: int


class BatchProcessor:
    """Steps runs of records into batches; `seal` closes a batch and moves (seq, digest) on."""

    def __init__(
        self,
        core: Core,
        input_topics: tuple[str, ...],
        *,
        epoch: int,
        seq: int,
        digest: str,
        positions: Positions,
    ) -> None:
        self.core = core
        self.emitter = Emitter(core, input_topics, digest)
        self.epoch = epoch
        self.seq = seq
        self.positions = list(positions)
        self.begin()

    def begin(self) -> None:
        self.start = list(self.positions)
        self.counts = [0] * len(RANKS)
        self.order: list[tuple[int, int]] = []
        self.emitter.batch = (self.epoch, self.seq + 1)
        self.records = 0
        self.crashed: dict[str, list[int]] = {}
        self.attempts: list[AttemptRecord] = []  # those that no batch has followed

    @property
    def digest(self) -> str:
        return self.emitter.digest

    @property
    def batch_id(self) -> BatchId:
        """The newest batch that is sealed."""
        return BatchId(self.epoch, self.seq)

    @property
    def stamp(self) -> str:
        return str(self.batch_id)

    @property
    def view_stamp(self) -> str:
        """The stamp of a view that shows it."""
        return self.batch_id.of_outputs(self.digest)

    def apply(self, runs: list[Run], ended: Callable[[str], None] | None = None) -> None:
        """Step the records of each run; the machine's position is then past them.

        `ended` is called at the end of each stage of each stride: read, step, encode.
        """
        core = self.core
        ordered = [record for _, records in runs for record in records]
        if core.state.untold and ordered:  # a batch without records writes no receipts, live or replayed
            self.pending_receipts(ordered[0])
        for first in range(0, len(ordered), TOGETHER):
            stride = ordered[first : first + TOGETHER]
            found = decode_records(stride)
            if ended is not None:
                ended("read")
            apply_records(core, stride, found)
            if ended is not None:
                ended("step")
            self.perform()
            if ended is not None:
                ended("encode")
        for rank, records in runs:
            self.count(rank, records)

    def perform(self) -> None:
        """Encode what was decided, and empty the outbox."""
        outputs = self.core.out.outputs
        self.emitter.encode_all(outputs)
        outputs.clear()

    def pending_receipts(self, first: Record) -> None:
        """Write the receipts of models that were made since the last batch; `first` is the next record."""
        core = self.core
        if core.state.champion_version in core.state.untold:
            core.state.vigil.champion_since_ms = max(core.state.log_time_ms, first.time_ms)
        core.out.pending_receipts()
        self.perform()

    def count(self, rank: int, records: list[Record]) -> None:
        """Move past these records."""
        n = len(records)
        self.order.append((rank, n))
        self.counts[rank] += n
        self.records += n
        self.positions[rank] = records[-1].offset + 1

    def crash(self, record: Record, why: str) -> None:
        """Make a record that crashed the shard at each attempt a dead letter: no model sees it."""
        if self.core.state.untold:
            self.pending_receipts(record)
        crash(self.core, record, why)
        self.perform()
        self.crashed.setdefault(RANK_NAMES[record.rank], []).append(record.offset)
        self.count(record.rank, [record])

    def refill_sets(self, which: RefilledSets) -> None:
        """Lay out the sets of the champion or of all models, as the record says that is replayed."""
        state = self.core.state
        slots = [state.champion] if which == "champion" else state.slots
        self.core.refill_sets([slot.model for slot in slots])

    def seal(self, settled: RefilledSets | None = None) -> SealedBatch:
        """Close the batch: chain the digest, write its journal record, begin the next.

        `settled` says whose sets were laid out after the batch's last record was stepped.

        Raises:
            ValueError: the journal record is too large.
        """
        previous = self.stamp
        emitter = self.emitter
        blobs = emitter.close()
        self.seq += 1
        spans = zip(self.start, self.positions, self.counts, strict=True)
        record = BatchRecord(
            epoch=self.epoch,
            seq=self.seq,
            inputs=dict(zip(RANK_NAMES, spans, strict=True)),
            order=pack_order(self.order),
            log_time=self.core.state.log_time_ms,
            digest=emitter.digest,
            decisions=capped(emitter.decisions),
            crashed=self.crashed or UNSET,
            settled=settled or UNSET,
        )
        encoded = journal.encode(record)
        if len(encoded) > LARGEST_OUTPUT_BYTES:
            raise ValueError(f"a journal record of {len(encoded)} bytes, {LARGEST_OUTPUT_BYTES} are allowed")
        commit = Commit(emitter.predictions, emitter.others, encoded, list(self.positions))
        emitter.begin()
        self.begin()
        return SealedBatch(commit, blobs, previous, self.stamp, self.view_stamp, self.seq)


def capped(decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cut the decisions to what a journal record has room for, and note how many are left out."""
    left_out = len(decisions) - MOST_DECISIONS
    return decisions if left_out <= 0 else [*decisions[:MOST_DECISIONS], {"left_out": left_out}]
