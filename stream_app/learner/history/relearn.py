"""Replays batches into an upgraded state: nothing is compared, written or proved, and models may sit out."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from stream_app.errors import Halted, Refused
from stream_app.learner.batch import journal
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.tail import Tail
from stream_app.learner.recovery.replay import WAITING, in_order, pass_by
from stream_app.ports import ReplaySource
from stream_app.state.shard import ShardState
from topics.envelope import RANKS, Record
from topics.journal import BatchRecord


class Silent:
    """Replaces a model that starts at the end of the replay: it answers nothing and learns nothing."""

    def predict_one(self, x: dict[str, Any]) -> None:
        """Give no answer, as a cold model does."""

    def predict_proba_one(self, _x: dict[str, Any]) -> dict[Any, float]:
        """Give no answer, as a cold model does."""
        return {}

    def score_one(self, x: dict[str, Any]) -> None:
        """Give no answer, as a cold model does."""

    def learn_one(self, *example: Any, **weight: Any) -> None:
        """Ignore the example."""


def relearn(
    processor: BatchProcessor, source: ReplaySource, tail: Tail, restarted: list[str]
) -> Generator[bool, None, list[str]]:
    """Apply the batches that `tail` found whole; slots of the origins `restarted` take no part.

    Nothing of it is written, so the receipts of new models are kept for the new epoch.
    Gives what could not be replayed, in words: batches whose inputs are not those that the journal read.
    """
    state = processor.core.state
    known, serving, reasons = {slot.version for slot in state.slots}, state.champion_version, state.untold
    silenced = [(slot, slot.model) for slot in state.slots if slot.origin in restarted]
    for slot, _ in silenced:
        slot.model = Silent()
    processor.core.rebind()
    lost: list[str] = []
    if tail.replayable_offset >= 0:
        yield from batches(processor, source, tail, lost)
    for slot, model in silenced:
        slot.model, slot.learned, slot.failed = model, 0, None
    if state.blend is not None:
        state.blend.agree([slot.version for slot in state.slots if slot.failed is None])
    born = {slot.version for slot in state.slots} - known
    if state.champion_version != serving:
        born.add(state.champion_version)
    state.untold = {version: why for version, why in reasons.items() if state.slot_of(version) is not None}
    state.untold |= dict.fromkeys(sorted(born - set(reasons)), "upgrade: it came of the replayed batches")
    return lost


def batches(
    processor: BatchProcessor, source: ReplaySource, tail: Tail, lost: list[str]
) -> Generator[bool, None, None]:
    """Apply the batches one by one; where their positions jump, the inputs are read from there."""
    at = list(tail.replayable_positions)
    source.inputs(at)
    for entry in source.journal(tail.replayable_offset):
        if entry is None:
            yield WAITING
            continue
        if entry.offset > tail.offset:
            return
        record = journal.read(entry.value, entry.offset)
        if not isinstance(record, BatchRecord):
            continue
        spans = list(record.inputs.values())
        starts = [start for start, _, _ in spans]
        if entry.offset != tail.replayable_offset and starts != at:
            source.inputs(starts)
        at = processor.positions[:] = [end for _, end, _ in spans]
        try:
            runs = in_order((yield from taken(source, spans)), record)
        except Halted as error:
            lost.append(f"what batch {record.seq} brought: {error.message}")
            source.inputs(at)
            continue
        try:
            if record.crashed:
                pass_by(processor, runs, record.crashed, processor.apply)
            else:
                processor.apply(runs)
            if record.settled:
                processor.refill_sets(record.settled)
        except Exception as error:  # of a model or a detector: what it left behind is of no use
            raise Refused(
                f"batch {record.seq} cannot be replayed ({type(error).__name__}: {error})",
                "Correct the definition, or leave out the slot that raises: --restart SLOT",
            ) from error
        processor.positions[:] = at
        processor.seal()


def taken(
    source: ReplaySource, spans: list[tuple[int, int, int]]
) -> Generator[bool, None, list[list[Record]]]:
    """The records of one batch, by rank."""
    inputs: list[list[Record]] = []
    for rank in RANKS:
        _, end, n = spans[rank]
        while (found := source.read_next(rank, n, end)) is None:
            yield WAITING
        inputs.append(found)
    return inputs


def renumber(state: ShardState, above: int) -> None:
    """Give the slots of a fresh state versions that no model of this shard has had."""
    whys = list(state.untold.values())
    state.next_version, state.untold = above + 1, {}
    for slot, why in zip(state.slots, whys, strict=True):
        slot.version = state.next_version
        state.untold[slot.version] = why
        state.next_version += 1
    state.champion_version = state.champion.version
    if state.blend is not None:
        state.blend.agree([])
        state.blend.agree([slot.version for slot in state.slots])
