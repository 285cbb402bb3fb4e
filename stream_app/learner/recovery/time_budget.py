"""A share of the wall time for something that must be done now and then, and costs what it costs."""

from __future__ import annotations


class TimeBudget:
    """Paces a task: it is `due` once the share of the time since its last run has earned what that cost.

    A run that costs more than was earned for it, since a model grew, leaves a debt that is earned back first.
    All times are seconds.
    """

    def __init__(self, share: float, now_s: float) -> None:
        self.share, self.last_s = share, now_s
        self.cost_s = self.debt_s = 0.0

    def due(self, now_s: float) -> bool:
        return self.cost_s + self.debt_s <= self.share * (now_s - self.last_s)

    def spent(self, now_s: float, cost_s: float) -> None:
        """Note a run that ended at `now_s`, and its cost."""
        earned_s = self.share * (now_s - self.last_s)
        # At most its own cost, so that expensive runs go on, and not twice as far apart.
        self.debt_s = min(cost_s, max(0.0, self.debt_s + cost_s - earned_s))
        self.last_s, self.cost_s = now_s, cost_s

    def more(self, cost_s: float) -> None:
        """Add a cost of the last run that came later."""
        self.cost_s += cost_s
        self.debt_s += cost_s
