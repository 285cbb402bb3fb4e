"""A shard's deterministic part: core, emitter and chain position, the same live and in a replay."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stream_app.flow.core import Core, births
from stream_app.flow.outputs import Output
from stream_app.flow.step import reads, steps
from stream_app.learner import journal
from stream_app.learner.emit import Emitter
from stream_app.learner.merge import Run, pack_order
from stream_app.ports import Commit, Positions
from topics.envelope import RANK_NAMES, RANKS

# Records that are read, stepped and performed in three strides. One by one each stride finds the processor's
# caches full of the others' code; by the end of a batch its data has left them.
TOGETHER = 64


class Closed(msgspec.Struct):
    """A batch that was stepped and sealed: what to commit, and what the view is to show after the commit."""

    commit: Commit
    blobs: dict[str, bytes | None]
    previous: str
    stamp: str
    seq: int


class Machine:
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

    @property
    def digest(self) -> str:
        return self.emitter.digest

    @property
    def stamp(self) -> str:
        return f"{self.epoch}:{self.seq}"

    def apply(self, runs: list[Run], ended: Callable[[str], None] | None = None) -> None:
        """Step the records of each run; the machine's position is then past them.

        `ended` is called at the end of each stage of each stride: read, step, encode.
        """
        core, perform = self.core, self.emitter.perform
        outputs: list[Output] = []
        ordered = [record for _, records in runs for record in records]
        if core.state.untold and ordered:  # a batch without records tells nothing, live or replayed
            if core.state.champion_version in core.state.untold:
                core.state.vigil.champion_since_ms = max(core.state.log_time_ms, ordered[0].time_ms)
            births(core, outputs)
            perform(outputs)
            outputs.clear()
        for first in range(0, len(ordered), TOGETHER):
            stride = ordered[first : first + TOGETHER]
            found = reads(stride)
            if ended is not None:
                ended("read")
            steps(core, stride, found, outputs)
            if ended is not None:
                ended("step")
            perform(outputs)
            outputs.clear()
            if ended is not None:
                ended("encode")
        for rank, records in runs:
            n = len(records)
            self.order.append((rank, n))
            self.counts[rank] += n
            self.records += n
            self.positions[rank] = records[-1].offset + 1

    def settle(self, which: journal.Settled) -> None:
        """Lay out the sets of the champion or of all models, as the record says that is replayed."""
        state = self.core.state
        slots = [state.champion] if which == "champion" else state.slots
        self.core.settle([slot.model for slot in slots])

    def seal(self, settled: journal.Settled | None = None) -> Closed:
        """Close the batch: chain the digest, write its journal record, begin the next.

        `settled` says whose sets were laid out after the batch's last record was stepped.
        """
        previous = self.stamp
        emitter = self.emitter
        blobs = emitter.close()
        self.seq += 1
        spans = zip(self.start, self.positions, self.counts, strict=True)
        record = journal.BatchRecord(
            epoch=self.epoch,
            seq=self.seq,
            inputs=dict(zip(RANK_NAMES, spans, strict=True)),
            order=pack_order(self.order),
            log_time=self.core.state.log_time_ms,
            digest=emitter.digest,
            decisions=emitter.decisions,
            settled=settled or msgspec.UNSET,
        )
        commit = Commit(emitter.predictions, emitter.others, journal.encode(record), list(self.positions))
        emitter.begin()
        self.begin()
        return Closed(commit, blobs, previous, self.stamp, self.seq)
