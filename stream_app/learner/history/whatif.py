"""What would have happened: the journal drives the live shard and, beside it, variants of its definition.

The live shard is replayed as `verify` does it, every digest compared, so that its row is what was really
served. A variant sees the same records in the same order with other detectors or another swap policy; what it
decides is counted and forgotten. Nothing is written, committed or joined.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from drift.blend import Blend
from drift.losses import Loss
from drift.monitors import Monitors
from drift.policy import Policy
from stream_app.application import Application
from stream_app.flow.core import Core
from stream_app.flow.orders import HANDLERS
from stream_app.flow.swap import stays
from stream_app.learner.batch.merge import Run
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.history.past import Past
from stream_app.learner.history.variant import Outcome, Variant
from stream_app.learner.history.verify import drain, find_starts, replayable
from stream_app.learner.recovery.recover import first_entry
from stream_app.learner.recovery.replay import replay
from stream_app.ports import SnapshotStore
from stream_app.state.shard import ShardState, blend_of
from topics.codec import Rejected, decode_command
from topics.envelope import COMMAND, Record


def replay_variants(past: Past, variants: dict[str, Application]) -> list[Outcome]:
    """Replay one shard from the earliest retained point; the live outcome comes first, then the variants'.

    No outcome at all: nothing of the shard can be replayed.

    Raises:
        Refused, Halted: as `replay_beside`.
    """

    def begin(processor: BatchProcessor) -> list[Variant]:
        return [Variant(title, beside(processor, variant, past.store)) for title, variant in variants.items()]

    name, replayed = replay_beside(past, begin)
    return [one.outcome(name) for one in replayed]


def replay_beside(past: Past, begin: Callable[[BatchProcessor], list[Variant]]) -> tuple[str, list[Variant]]:
    """Replay one shard and give where it began, the live variant and those that `begin` made beside it.

    `begin` gets the live shard before its first record. No variant at all: nothing can be replayed.

    Raises:
        Refused: the definition or the libraries are not those of the journal.
        Halted: the live shard's replay differs from its journal, or the journal has a gap.
    """
    start = earliest(past)
    if start is None:
        return "", []
    name, processor, offset = start
    lead = Variant("live", processor)
    others = begin(processor)

    def apply(runs: list[Run]) -> None:
        for rank, records in runs:
            for record in records:
                lead.account_for(record)
                if rank == COMMAND and names_a_model(record):
                    continue
                for other in others:
                    other.account_for(record)

    def on_batch(sealed: SealedBatch, _offset: int) -> None:
        for other in others:
            other.processor.seal()
        past.progress(sealed.seq, f"{len(lead.losses):,} predictions")

    drain(replay(processor, past.source, offset + 1, past.clock, on_batch, apply=apply))
    return name, [lead, *others] if lead.losses else []


def earliest(past: Past) -> tuple[str, BatchProcessor, int] | None:
    """The earliest start of the newest epoch whose inputs are retained; None where there is none."""
    if drain(first_entry(past.source, -1)) is None:
        return None
    kept = past.source.earliest()
    for start in find_starts(past):
        if replayable(start[1].positions, kept):
            return start
    return None


def beside(processor: BatchProcessor, app: Application, store: SnapshotStore) -> BatchProcessor:
    """A copy of the machine under another definition: the same models, no alarm and no hunt so far.

    Candidates and the champion before are left behind: the live policy's hunts are not the variant's.
    """
    state: ShardState = store.round_trip(processor.core.state)
    state.monitors = Monitors(app.drift or ())
    state.policy = Policy(app.swap, bool(app.challengers))
    state.recent = deque(state.recent, maxlen=app.swap.warm if app.swap.policy == "evidence" else 0)
    state.cause, state.champion_before = {}, None
    if state.race_loss.name != (app.loss or ""):
        state.race_loss = Loss(app.loss or "")
    core = Core(app, state, store.round_trip, store.refill_sets)
    state.slots = [slot for slot in state.slots if slot.name == state.serving or stays(core, slot)]
    if isinstance(app.serve, Blend) != (state.blend is not None):
        state.blend = blend_of(app, state.slots)
    if state.blend is not None:
        state.blend.agree([slot.version for slot in state.slots if slot.failed is None])
    core.rebind()
    return BatchProcessor(
        core,
        processor.emitter.input_topics,
        epoch=processor.epoch,
        seq=processor.seq,
        digest=processor.digest,
        positions=processor.positions,
    )


def names_a_model(record: Record) -> bool:
    """An order about a version of the live run: in a variant it would hit another model, or none."""
    order = decode_command(record.value)
    return not isinstance(order, Rejected) and order.command in HANDLERS
