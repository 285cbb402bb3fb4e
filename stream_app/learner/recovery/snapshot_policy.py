"""When a snapshot is due: by the work since the newest one, and by what snapshots cost."""

from __future__ import annotations

from stream_app.application import Application
from stream_app.learner.recovery.time_budget import TimeBudget

SHORT_S = 5.0  # of stepping: so much is replayed before the group has noticed a death


class SnapshotPolicy:
    """Decides when a snapshot is due, from what the last one cost and how much a replay would take.

    The interval is `max_recovery` of stepping time, or less when snapshots are cheap: then once `max_cost` of
    the wall time has earned what the last one cost. Both are the definition's `snapshot=`.
    """

    def __init__(self, app: Application, now_s: float) -> None:
        self.max_cost = app.snapshot.max_cost
        self.max_recovery_s = app.snapshot.max_recovery_ms / 1000
        self.budget = TimeBudget(self.max_cost, now_s)
        self.busy_s = self.pickling_s = 0.0
        self.records = 0

    def worked(self, seconds: float, records: int) -> None:
        self.busy_s += seconds
        self.records += records

    def due(self, now_s: float) -> bool:
        if not self.records:
            return False
        if self.busy_s >= self.max_recovery_s:
            return True
        return self.busy_s >= SHORT_S and self.budget.due(now_s)

    @property
    def cost_s(self) -> float:
        """Seconds that the newest snapshot took, to pickle and to write."""
        return self.budget.cost_s

    @property
    def breached(self) -> bool:
        """Whether pickling costs more than `max_cost` at the interval that `max_recovery` asks for."""
        return self.pickling_s > self.allowed_s

    @property
    def allowed_s(self) -> float:
        """Seconds that pickling one snapshot may take at the interval `max_recovery`."""
        return self.max_cost * self.max_recovery_s

    def taken(self, now_s: float, cost_s: float) -> None:
        """A snapshot was pickled; what writing it takes is added by `saved`."""
        self.budget.spent(now_s, cost_s)
        self.pickling_s = cost_s
        self.busy_s, self.records = 0.0, 0

    def saved(self, cost_s: float) -> None:
        """Add what a helper took to write it: no pause, yet it counts, so that a store can rest."""
        self.budget.more(cost_s)
