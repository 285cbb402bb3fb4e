"""What would have happened: the journal drives the live shard and, beside it, variants of its definition.

The live shard is replayed as `verify` does it, every digest compared, so that its row is what was really
served. A variant sees the same records in the same order with other detectors or another swap policy; what it
decides is counted and forgotten. Nothing is written, committed or joined.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from math import isnan, nan, sqrt
from typing import Any

import msgspec

from drift.blend import Blend
from drift.monitors import Monitors
from drift.policy import Policy
from drift.signals import LOSS
from stream_app.application import Application
from stream_app.flow.core import Core
from stream_app.flow.observer import Observer
from stream_app.flow.orders import HANDLERS
from stream_app.flow.outputs import AlertRaised, Output
from stream_app.flow.served import PredictionMade
from stream_app.flow.swap import stays
from stream_app.learner.batch.merge import Run
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.history.verify import PAUSE_S, drain, find_starts, replayable
from stream_app.learner.recovery.recover import first_entry
from stream_app.learner.recovery.replay import replay
from stream_app.ports import Clock, ReplaySource, SnapshotStore
from stream_app.state.pending import PendingRow
from stream_app.state.shard import ShardState, blend_of
from topics.codec import Rejected, decode_command
from topics.envelope import COMMAND, RANK_NAMES, Record

LAST = 4  # the newest fourth of the scored predictions has scores of its own


class Change(msgspec.Struct):
    """A swap or a rollback: at which record of which input, and after how many replayed predictions."""

    type: str
    input: str
    offset: int
    time_ms: int
    after: int
    version: int
    parent: int


class Outcome(msgspec.Struct):
    """One variant of one shard. `alarms` are of the serving model's loss; an operator's swaps count too.

    `scores` are of the predictions as they were served (accuracy, or mae and rmse), `last` of the newest
    fourth of them; `scored` is how many of `predictions` got a label.
    """

    shard: int
    variant: str
    source: str
    predictions: int
    scored: int
    alarms: int
    hunts: int
    swaps: int
    rollbacks: int
    scores: dict[str, float]
    last: dict[str, float]
    changes: list[Change]


class Variant(Observer):
    """One machine and the account of what it served."""

    def __init__(self, name: str, processor: BatchProcessor) -> None:
        self.name = name
        self.processor = processor
        self.heard: list[Output] = []
        self.losses = array("d")  # by prediction, NaN while there is no label
        self.waiting: dict[int, tuple[int, PredictionMade]] = {}  # by event offset: how many came before
        self.came: list[tuple[int, Any]] = []  # labels of the record in hand, with their events' offsets
        self.changes: list[Change] = []
        self.alerts = 0
        self.names = {processor.core.state.serving: True}
        self.hunts_before, self.held_before = processor.core.state.policy.hunt, self.held()
        cases = processor.emitter.cases
        for kind in (PredictionMade, AlertRaised):
            cases[kind] = self.also(cases[kind])
        processor.core.observer = self

    def labelled(self, row: PendingRow, label: Any, *, expired: bool) -> None:  # noqa: ARG002
        """The prediction is scored once the step is over: an event may carry its label."""
        self.came.append((row.offset, label))

    def unlabelled(self, row: PendingRow) -> None:
        """Its prediction stays without a score."""
        self.waiting.pop(row.offset, None)

    def also(self, perform: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap `perform` to collect each output as well."""

        def both(output: Any) -> None:
            self.heard.append(output)
            perform(output)

        return both

    def held(self) -> int:
        """Count alarms of models that served which no alert reported: each came too soon after another."""
        quiet = self.processor.core.state.vigil.quiet
        return sum(quiet.get(f"drift {LOSS}/{name}", (0, 0))[1] for name in self.names)

    def account_for(self, record: Record) -> None:
        """Step one record and account for it."""
        self.processor.apply([(record.rank, [record])])
        for output in self.heard:
            if type(output) is PredictionMade:
                if output.prediction is not None and self.processor.core.has_labels:
                    self.waiting[output.offset] = (len(self.losses), output)
                self.losses.append(nan)
            elif type(output) is AlertRaised:
                self.alerted(record, output)
        self.heard.clear()
        for offset, label in self.came:
            waits = self.waiting.pop(offset, None)
            if waits is not None:
                self.score(*waits, label)
        self.came.clear()

    def score(self, place: int, made: PredictionMade, label: Any) -> None:
        """Note the loss of a prediction: 0 or 1, or the absolute error."""
        classify = self.processor.core.state.classify
        self.losses[place] = float(label != made.prediction) if classify else abs(label - made.prediction)

    def alerted(self, record: Record, alert: AlertRaised) -> None:
        """Count an alarm, or note a change of the serving model."""
        evidence, serving = alert.evidence, self.processor.core.state.serving
        self.names[serving] = True
        if alert.type == "drift" and evidence["signal"] == LOSS and evidence["name"] in self.names:
            self.alerts += 1 + evidence.get("held_back", 0)
        elif alert.type in ("swap", "rollback"):
            self.changes.append(
                Change(
                    alert.type,
                    RANK_NAMES[record.rank],
                    record.offset,
                    alert.time_ms,
                    len(self.losses),
                    evidence["version"],
                    evidence["parent"],
                )
            )

    def outcome(self, source: str) -> Outcome:
        """Give the result of the replay."""
        state = self.processor.core.state
        scored = [loss for loss in self.losses if not isnan(loss)]
        kinds = [change.type for change in self.changes]
        return Outcome(
            state.shard,
            self.name,
            source,
            len(self.losses),
            len(scored),
            self.alerts + self.held() - self.held_before,
            state.policy.hunt - self.hunts_before,
            kinds.count("swap"),
            kinds.count("rollback"),
            scores(scored, state.classify),
            scores(scored[len(scored) - len(scored) // LAST :], state.classify),
            self.changes,
        )


def scores(losses: Sequence[float], classify: bool) -> dict[str, float]:
    """Accuracy of 0/1 losses, mae and rmse of absolute errors; nothing of nothing.

    >>> scores([0.0, 1.0], True), scores([1.0, 3.0], False)
    ({'accuracy': 0.5}, {'mae': 2.0, 'rmse': 2.23606797749979})
    """
    n = len(losses)
    if not n:
        return {}
    if classify:
        return {"accuracy": 1 - sum(losses) / n}
    return {"mae": sum(losses) / n, "rmse": sqrt(sum(loss * loss for loss in losses) / n)}


def replay_variants(
    app: Application,
    variants: dict[str, Application],
    shard: int,
    source: ReplaySource,
    store: SnapshotStore,
    clock: Clock,
    fingerprint: dict[str, Any],
    input_topics: tuple[str, ...],
    progress: Callable[[int, int], None] = lambda _seq, _predictions: None,
) -> list[Outcome]:
    """Replay one shard from the earliest retained point; the live outcome comes first, then the variants'.

    No outcome at all: nothing of the shard can be replayed.

    Raises:
        Refused: the definition or the libraries are not those of the journal.
        Halted: the live shard's replay differs from its journal, or the journal has a gap.
    """
    start = earliest(app, shard, source, store, fingerprint, input_topics)
    if start is None:
        return []
    name, processor, offset = start
    lead = Variant("live", processor)
    others = [Variant(title, beside(processor, variant, store)) for title, variant in variants.items()]

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
        progress(sealed.seq, len(lead.losses))

    for more in replay(processor, source, offset + 1, clock, on_batch, apply=apply):
        if not more:
            time.sleep(PAUSE_S)
    return [one.outcome(name) for one in (lead, *others)] if lead.losses else []


def earliest(
    app: Application,
    shard: int,
    source: ReplaySource,
    store: SnapshotStore,
    fingerprint: dict[str, Any],
    input_topics: tuple[str, ...],
) -> tuple[str, BatchProcessor, int] | None:
    """The earliest start of the newest epoch whose inputs are retained; None where there is none."""
    if drain(first_entry(source, -1)) is None:
        return None
    kept = source.earliest()
    for start in find_starts(app, shard, source, store, fingerprint, input_topics):
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
