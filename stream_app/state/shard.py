"""One shard's whole memory: everything that a snapshot carries and a replay must reproduce."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from copy import deepcopy
from typing import Any

from mypy_extensions import mypyc_attr

from drift.blend import Blend
from drift.losses import Loss
from drift.monitors import Monitors
from drift.policy import Policy
from drift.presence import Presence
from drift.sources import Sources
from stream_app.application import Application
from stream_app.models.build import build, has_learned
from stream_app.models.seeds import seed_for
from stream_app.state.blend import BlendState
from stream_app.state.entities import Entities
from stream_app.state.ids import Ids
from stream_app.state.pending import ParkedLabel, PendingRow, Waiting
from stream_app.state.scores import Scores
from stream_app.state.slot import CHAMPION, KEPT, Slot
from stream_app.state.vigil import Vigil

REMEMBERED_COMMANDS = 1_000


COUNTED = (
    "events", "predictions", "cold", "labels", "labels_learned", "labels_expired", "labels_skipped",
    "labels_held", "duplicate_events", "duplicate_labels", "commands", "alerts", "drifts", "swaps",
    "dead_events", "dead_labels", "dead_commands", "unanswered",
)  # fmt: skip


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Counters:
    """What became of every record; `events` = predictions + dead events + duplicates (invariant I5)."""

    def __init__(self) -> None:
        self.events = self.predictions = self.cold = 0
        self.labels = self.labels_learned = self.labels_expired = self.labels_skipped = self.labels_held = 0
        self.duplicate_events = self.duplicate_labels = self.commands = 0
        self.alerts = self.drifts = self.swaps = 0
        self.dead_events = self.dead_labels = self.dead_commands = self.unanswered = 0

    def copy_from(self, others: Any) -> None:
        """Copy the counts of a state that may be older than some counters."""
        for name in COUNTED:
            setattr(self, name, getattr(others, name, 0))

    def as_dict(self) -> dict[str, int]:
        """The counts by name, always in the same order: batches chain a digest over them."""
        return {name: getattr(self, name) for name in COUNTED}


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class ShardState:
    """Owned by one writer and never copied: a copy of a small forest costs 112 ms (ADR 2)."""

    blend: BlendState | None = None

    def __init__(self, app: Application, shard: int) -> None:
        self.shard = shard
        self.log_time_ms = 0
        self.paused = False
        self.counters = Counters()
        self.dead_by_reason: dict[str, int] = {}
        self.classify = app.task in ("binary", "multiclass")
        self.slots: list[Slot] = []
        self.next_version = 1
        self.untold: dict[int, str] = {}  # version → why it came to be, until its receipt is written
        for name in (CHAMPION, *app.challengers):
            why = "the definition's champion" if name == CHAMPION else "the definition's challenger"
            self.add_slot(app, name, generation=0, why=why)
        self.serving = CHAMPION
        self.champion_version = 1
        self.blend = blend_of(app, self.slots)
        self.champion_before: int | None = None
        horizon_ms = app.labels.horizon_ms if app.labels else 0
        self.pending: Waiting[PendingRow] = Waiting(app.limits.max_pending, app.limits.max_waiting_bytes)
        self.parked: Waiting[ParkedLabel] = Waiting(app.limits.max_parked, app.limits.max_waiting_bytes)
        self.ids = Ids(max(app.dedupe_ms, horizon_ms), app.limits.max_ids)
        self.entities = Entities(app.ttl_ms, app.limits.max_entities)
        self.kinds: dict[str, str] = app.kinds
        self.unproven: dict[str, int] = {}  # names whose type no learned row has confirmed
        self.type_from: dict[str, int] = {}  # the offset of the event that gave a name its type
        self.categories: dict[str, dict[str, bool]] = {}  # by feature in order of first sight: learned?
        self.category_bytes = 0  # of all their strings
        self.contradicted: dict[str, list[int]] = {}  # by name: contradictions, and records before the first
        self.full: dict[str, bool] = {}  # features that take no further string, `__other__`: no further name
        self.presence = Presence(app.named)
        self.classes: dict[Any, type] = {}
        if self.classify and app.labels is not None:
            default = () if app.labels.default is None else (app.labels.default,)
            for declared in (*(app.labels.classes or ()), *default):
                self.classes[declared] = type(declared)
        self.class_counts: dict[Any, int] = {}
        self.target_sum = 0.0
        self.last_label: Any = None
        self.baseline = Scores(self.classify)
        self.gap_served = Scores(self.classify)
        self.gap_again = Scores(self.classify)
        self.monitors = Monitors(app.drift or ())
        self.policy = Policy(app.swap, bool(app.challengers))
        self.race_loss = Loss(app.loss or "")
        self.recent: deque[tuple[dict[str, Any], Any, float]] = deque(
            maxlen=app.swap.warm if app.swap.policy == "evidence" else 0
        )  # what a warm candidate learns first
        self.vigil = Vigil()
        judged = app.labels is not None and app.labels.hold_back
        self.sources: Sources | None = Sources() if judged else None
        self.cause: dict[str, Any] = {}  # what the newest alarm that opened a hunt was about
        self.sample_rows: deque[dict[str, Any]] = deque(maxlen=4)
        self.misplaced = self.pending_overflowed = False
        self.commands: dict[str, str] = {}
        self.command_order: deque[str] = deque()

    def add_slot(self, app: Application, name: str, generation: int, why: str) -> Slot:
        """A slot that the definition names, under a new version; its seed derives from the definition, the
        slot and the generation.
        """
        factory = app.champion if name == CHAMPION else app.challengers[name]
        model = build(factory, seed_for(app.seed, name, generation))
        slot = Slot(name, model, self.next_version, generation, self.classify)
        slot.knows = has_learned(model)
        self.untold[slot.version] = why
        return self.keep(slot)

    def add_candidate(self, app: Application, kind: str, origin: str) -> Slot:
        """A new model of the factory that `origin` names; its generation is its version."""
        version = self.next_version
        factory = app.champion if origin == CHAMPION else app.challengers[origin]
        model = build(factory, seed_for(app.seed, origin, version))
        name, parent = f"{origin}-{version}", self.champion.version
        slot = Slot(name, model, version, version, self.classify, origin, kind, parent)
        slot.knows = has_learned(model)
        return self.keep(slot)

    def keep_champion(self) -> Slot:
        """The champion as it is now, as a candidate: the one copy that is taken of a model, once a hunt."""
        champion, version = self.champion, self.next_version
        slot = Slot(
            f"{champion.origin}-{version}",
            deepcopy(champion.model),
            version,
            champion.generation,
            self.classify,
            champion.origin,
            KEPT,
            champion.version,
        )
        slot.learned, slot.knows = champion.learned, champion.knows
        return self.keep(slot)

    def keep(self, slot: Slot) -> Slot:
        """Take a new slot in."""
        self.next_version += 1
        self.slots.append(slot)
        return slot

    def blended_models(self, left_out: Collection[int] = ()) -> dict[int, Any]:
        """The models of the blend in its order, by version; None for what is not asked: it learned nothing,
        has no weight, or is left out.
        """
        found: dict[int, Any] = {}
        blend = self.blend
        for version, weight in zip(blend.mixture.experts, blend.weights, strict=True) if blend else ():
            slot = self.slot_of(version)
            asked = slot is not None and not slot.cold and weight and version not in left_out
            found[version] = slot.model if slot is not None and asked else None
        return found

    @property
    def served_version(self) -> int:
        """The version that predictions name: the champion's, or of a blend the newest that was in it."""
        return self.champion_version if self.blend is None else self.next_version - 1

    def slot_of(self, version: int) -> Slot | None:
        """The slot of a version, None when it is gone."""
        return next((slot for slot in self.slots if slot.version == version), None)

    def leave(self, version: int) -> None:
        """A slot is out of the races and of the blend: failed, refused or dropped."""
        self.policy.leave(version)
        if self.blend is not None:
            self.blend.leave(version)

    @property
    def champion(self) -> Slot:
        """The serving slot."""
        return next(slot for slot in self.slots if slot.name == self.serving)

    @property
    def first_class(self) -> Any:
        """The class of the first label that was learned; None before it."""
        for label in self.classes:
            return label
        return None

    def remember_command(self, command_id: str, outcome: str) -> None:
        """Keep the newest outcomes, so that a command sent twice acts once."""
        self.commands[command_id] = outcome
        self.command_order.append(command_id)
        if len(self.command_order) > REMEMBERED_COMMANDS:
            del self.commands[self.command_order.popleft()]


def blend_of(app: Application, slots: list[Slot]) -> BlendState | None:
    """The blend over these slots, where the definition serves one."""
    if not isinstance(app.serve, Blend):
        return None
    blend = BlendState(app.serve, app.task != "regression")
    blend.agree([slot.version for slot in slots])
    return blend
