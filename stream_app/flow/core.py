"""What a shard's stages work on: definition, state, bound model calls, and the outbox of what they decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_app.application import Application
from stream_app.errors import MACHINE
from stream_app.flow.outbox import Outbox
from stream_app.flow.record_rules import FeatureRules
from stream_app.models.calls import COLD, Calls, ModelFault, bind, reply
from stream_app.state.shard import ShardState
from stream_app.state.slot import DECLARED, KEPT, Slot
from stream_app.state.windows import Windows

RoundTrip = Callable[[Any], Any]
Instrument = Callable[[int, Calls], Calls]
RefillSets = Callable[[list[Any]], None]


def as_it_is(model: Any) -> Any:
    """Give the model itself: the round trip of cores without snapshots."""
    return model


def as_they_are(_models: list[Any]) -> None:
    """Refill no sets: for cores without snapshots."""


class Core:
    """Definition and state of one shard, joined; rebuilt from both after every restore.

    `round_trip` stores a model and loads it as recovery would: what no snapshot can hold may not serve.
    `instrument` wraps the calls of a version in a race, so that somebody outside can see what they take.
    `refill_sets` lays out the sets of live models as those that are loaded then (ADR 19).
    """

    def __init__(
        self,
        app: Application,
        state: ShardState,
        round_trip: RoundTrip = as_it_is,
        refill_sets: RefillSets = as_they_are,
    ) -> None:
        self.app = app
        self.state = state
        self.out = Outbox(app.name, state)
        self.round_trip = round_trip
        self.instrument: Instrument | None = None
        self.observer: Any = None  # an `Observer`, in replays that look into the past
        self.refill_sets = refill_sets
        self.windows = Windows(app.features)
        # What each record asks for: the definition is no native class, and asking it costs ten times as much.
        self.has_features = bool(app.features)
        self.has_labels = app.labels is not None
        self.horizon_ms = app.labels.horizon_ms if app.labels else 0
        self.rules = FeatureRules(app)
        self.max_category_bytes = app.limits.max_category_bytes
        self.class_weights: Any = app.class_weights
        self.explain = app.explain
        self.question = app.question
        self.shards = app.shards
        self.rebind()

    def rebind(self) -> None:
        """Bind the calls of every living slot; needed whenever a slot is added, dropped or fails.

        `learning_calls` learn, all but a kept champion that has not served yet; `serving_calls` predict
        events: candidates have nothing to serve, unless all are blended.
        """
        self.blend = self.state.blend
        living = [slot for slot in self.state.slots if slot.failed is None]
        self.calls: list[tuple[Slot, Calls]] = [(slot, self.instrumented(slot)) for slot in living]
        # The champion predicts first: when it fails, the event is refused before anything else has run.
        self.calls.sort(key=lambda pair: pair[0].name != self.state.serving)
        self.learning_calls = [
            (slot, calls)
            for slot, calls in self.calls
            if slot.kind != KEPT or slot.version in (self.state.champion_version, self.state.policy.previous)
        ]
        self.serving_calls = [
            (slot, calls)
            for slot, calls in self.calls
            if slot.kind == DECLARED or slot.name == self.state.serving or self.blend is not None
        ]
        racing = self.app.swap.policy == "evidence" and self.blend is None
        self.races_standing = racing and len(self.serving_calls) > 1

    @property
    def served(self) -> Slot:
        """What answers, with the scores of that: the champion, or the blend."""
        return self.state.champion if self.blend is None else self.blend.slot

    def bind(self, slot: Slot) -> Calls:
        """Bind one slot's calls."""
        return bind(slot.model, self.app.question)

    def instrumented(self, slot: Slot) -> Calls:
        """Bind one slot's calls, under `instrument` while it races; in a blend while it has candidates."""
        calls, policy = self.bind(slot), self.state.policy
        racing = slot.version in policy.races or (policy.open and slot.name == self.state.serving)
        if self.blend is not None:
            racing = any(other.kind != DECLARED for other in self.state.slots)
        return self.instrument(slot.version, calls) if racing and self.instrument is not None else calls

    def gate(self, slot: Slot) -> str | None:
        """Why a slot may not serve, or None: it must answer, and answer the same after a snapshot.

        A step asks for it, so a replay asks the model the same rows at the same place.
        """
        if slot.failed is not None:
            return slot.failed
        try:
            twin = bind(self.round_trip(slot.model), self.app.question)
            self.refill_sets([slot.model])
        except MACHINE:
            raise
        except Exception as error:  # noqa: BLE001  # a stored model may raise anything; then it does not serve
            return f"a snapshot cannot hold it ({type(error).__name__}: {error})"
        rows = [] if slot.cold else self.state.sample_rows
        calls, fault, silent = self.bind(slot), None, 0
        for row in rows:
            try:
                answer = calls.predict(row)
            except ModelFault as raised:
                answer, fault, silent = COLD, raised, silent + 1
            if answer != reply(twin, row):
                return "it answers differently after a snapshot"
        return f"it answers none of the sample rows: {fault}" if rows and silent == len(rows) else None

    def fail_slot(self, slot: Slot, fault: Exception) -> None:
        """Take a challenger whose model raised out of the comparison, with an alert. A candidate is removed.

        The state keeps the type alone: a message may hold an address, and states are compared.
        """
        slot.failed = type_of(fault)
        self.state.leave(slot.version)
        if slot.kind != DECLARED:
            self.state.slots.remove(slot)
            self.state.monitors.forget_losses(slot.name)
            self.out.receipt(slot, f"failed: {fault}", "retired")
        self.rebind()
        text, name = f"challenger {slot.name}: {fault}", slot.name
        self.out.alert("challenger-failed", text, slot=name, error=slot.failed, about=name)


def type_of(error: Exception) -> str:
    """Name the type of what a model raised, or of the fault itself where the model answered wrongly.

    A fault begins with it. Its cause would say so too, but code that mypyc compiles sets none.
    """
    if isinstance(error, ModelFault):
        name = str(error).partition(":")[0]
        return name if name.isidentifier() else "ModelFault"
    return type(error.__cause__ or error).__name__
