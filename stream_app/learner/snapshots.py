"""When to snapshot, and what proves that a loaded one is the model that was saved."""

from __future__ import annotations

from typing import Any

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.models.calls import bind
from stream_app.models.digest import structural_digest
from stream_app.state.shard import ShardState

FORMAT = 1
TOO_LONG_TO_LEAVE_S = 2.0  # a graceful stop must be over in 5 s, so a dearer snapshot is skipped then


def answers(app: Application, state: ShardState) -> list[str]:
    """What each living slot says to the stored sample rows, to the bit."""
    return [
        repr(bind(slot.model, app.task, app.threshold).predict(row))
        for slot in state.slots
        if slot.failed is None
        for row in state.sample_rows
    ]


def parts(app: Application, state: ShardState) -> dict[str, Any]:
    """What is pickled: the whole state and what it answers."""
    return {"state": state, "answers": answers(app, state)}


def restore(app: Application, loaded: Any) -> ShardState:
    """The state of a loaded snapshot, after the smoke test.

    Raises:
        Refused: it answers its own sample differently; use an older snapshot or replay.
    """
    state: ShardState = loaded["state"]
    if answers(app, state) != loaded["answers"]:
        raise Refused(
            "the loaded models answer their sample rows differently", "An older snapshot or a replay is used"
        )
    return state


def state_digest(state: ShardState) -> str:
    """Structural digest of everything a snapshot carries (models, detectors, pending, windows, dedupe; I3)."""
    return structural_digest({name: getattr(state, name) for name in sorted(vars(state))})


class Schedule:
    """Decides when a snapshot is due, from what the last one cost and how much a replay would take.

    The interval is `max_recovery` of stepping time, or less when snapshots are cheap: then once their cost falls
    below `max_cost` of the wall time. Both are the definition's `snapshot=`.
    """

    def __init__(self, app: Application, now_s: float) -> None:
        self.max_cost = app.snapshot.max_cost
        self.max_recovery_s = app.snapshot.max_recovery_ms / 1000
        self.last_s = now_s
        self.cost_s = 0.0
        self.busy_s = 0.0
        self.records = 0

    def worked(self, seconds: float, records: int) -> None:
        self.busy_s += seconds
        self.records += records

    def due(self, now_s: float) -> bool:
        if not self.records:
            return False
        if self.busy_s >= self.max_recovery_s:
            return True
        return self.busy_s >= 1.0 and self.cost_s <= self.max_cost * (now_s - self.last_s)

    @property
    def breached(self) -> bool:
        """Snapshots cost more than `max_cost` at the interval that `max_recovery` asks for."""
        return self.cost_s > self.max_cost * self.max_recovery_s

    def taken(self, now_s: float, cost_s: float) -> None:
        self.last_s, self.cost_s, self.busy_s, self.records = now_s, cost_s, 0.0, 0
