"""Replay: the journal drives the same machine over the same records; every batch must chain its digest."""

from __future__ import annotations

from collections.abc import Callable, Generator

from stream_app.errors import Halted
from stream_app.learner.batch import journal
from stream_app.learner.batch.merge import Run, unpack_order
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.recovery.guards import check_continued
from stream_app.ports import Clock, ReplaySource
from topics.envelope import RANK_NAMES, RANKS, Record
from topics.journal import AttemptRecord, BatchRecord, EpochRecord

MORE, WAITING = True, False
SLICE_S = 0.2  # live shards of the process wait at most this long between their turns


class Diverged(Halted):
    """A batch whose digest a replay does not come to; `record` is the journal's, at `offset`."""

    def __init__(self, processor: BatchProcessor, record: BatchRecord, offset: int) -> None:
        super().__init__(
            f"shard {processor.core.state.shard} diverged from its journal at seq {record.seq}: "
            f"digest {processor.digest} instead of {record.digest}",
            "Run the image and definition that wrote it on another machine: `stream-app verify` must say "
            f"equal there. Or `stream-app upgrade MODULE:APP --accept-divergence {record.seq}`: it goes on "
            "with the models of the replay and gives up the proof of what was answered since",
        )
        self.record, self.offset = record, offset


def replay(
    processor: BatchProcessor,
    source: ReplaySource,
    from_offset: int,
    clock: Clock,
    on_batch: Callable[[SealedBatch, int], None] = lambda _closed, _offset: None,
    until_seq: int | None = None,
    apply: Callable[[list[Run]], None] | None = None,
) -> Generator[bool, None, None]:
    """Bring `processor` to the journal's end; yields to wait (WAITING), or when its slice is used (MORE).

    It stops after `until_seq` where that is given. `on_batch` gets each sealed batch and its journal offset;
    nothing is written anywhere. `apply` replaces `processor.apply`: it must bring every record to the
    processor, and may look at each.

    Raises:
        Halted: the journal has a gap, an input was cut, or a digest differs; the shard must not go on.
    """
    source.inputs(processor.positions)
    turn_ends = clock.monotonic() + SLICE_S
    for entry in source.journal(from_offset):
        if entry is None:
            yield WAITING
            turn_ends = clock.monotonic() + SLICE_S
            continue
        record = journal.read(entry.value, entry.offset)
        if isinstance(record, AttemptRecord):
            if (record.epoch, record.seq) == (processor.epoch, processor.seq):
                processor.attempts.append(record)
            continue
        record = in_sequence(processor, record, entry.offset)
        inputs: list[list[Record]] = []
        for rank, name in zip(RANKS, record.inputs, strict=True):
            _, end, n = record.inputs[name]
            while (taken := source.read_next(rank, n, end)) is None:
                yield WAITING
                turn_ends = clock.monotonic() + SLICE_S
            inputs.append(taken)
        runs = in_order(inputs, record)
        if record.crashed:
            pass_by(processor, runs, record.crashed, apply or processor.apply)
        else:
            (apply or processor.apply)(runs)
        processor.positions[:] = [end for _, end, _ in record.inputs.values()]
        if record.settled:
            processor.refill_sets(record.settled)
        sealed = processor.seal(record.settled or None)
        if processor.digest != record.digest:
            raise Diverged(processor, record, entry.offset)
        on_batch(sealed, entry.offset)
        if processor.seq == until_seq:
            return
        if clock.monotonic() >= turn_ends:
            yield MORE
            turn_ends = clock.monotonic() + SLICE_S


def pass_by(
    processor: BatchProcessor,
    runs: list[Run],
    crashed: dict[str, list[int]],
    apply: Callable[[list[Run]], None],
) -> None:
    """Apply a batch, but for the records that crashed the shard: they are the dead letters that they were."""
    for rank, records in runs:
        offsets = crashed.get(RANK_NAMES[rank], ())
        for record in records:
            if record.offset in offsets:
                processor.crash(record, "")
            else:
                apply([(rank, [record])])


def in_order(inputs: list[list[Record]], record: BatchRecord) -> list[Run]:
    """Cut the inputs into the runs that the journal recorded."""
    taken = [0] * len(inputs)
    runs: list[Run] = []
    for rank, n in unpack_order(record.order):
        runs.append((rank, inputs[rank][taken[rank] : taken[rank] + n]))
        taken[rank] += n
    if taken != [len(records) for records in inputs]:
        raise Halted(
            f"the journal's order at seq {record.seq} does not fit its inputs",
            "Restore the journal topic, or run `stream-app upgrade MODULE:APP --from-log`: it leaves the "
            "batch out",
        )
    return runs


def in_sequence(processor: BatchProcessor, record: BatchRecord | EpochRecord, offset: int) -> BatchRecord:
    """The record, if it continues the one before: same epoch, next seq, inputs from where the last ended."""
    if isinstance(record, EpochRecord):
        check_continued(processor.seq, processor.digest, processor.positions, record, offset)
        raise Halted(
            f"epoch {record.epoch} starts at journal offset {offset} and no snapshot of it is valid",
            "Run `stream-app upgrade MODULE:APP` again if it was cut off, or restore the snapshots",
        )
    starts = [span[0] for span in record.inputs.values()]
    if (record.epoch, record.seq, starts) != (processor.epoch, processor.seq + 1, processor.positions):
        raise Halted(
            f"the journal has a gap: after {processor.stamp} at {processor.positions} comes "
            f"{record.epoch}:{record.seq} at {starts}",
            "Restore the journal topic from a backup, or run `stream-app upgrade MODULE:APP`: it names the "
            "batches that are lost and goes on behind the gap",
        )
    return record
