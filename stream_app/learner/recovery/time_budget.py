"""A share of the wall time for something that must be done now and then, and costs what it costs."""

from __future__ import annotations


class TimeBudget:
    """`due` once the share of the time since the last one has earned what that one cost.

    One that turns out dearer than what was earned for it, since a model grew, leaves a debt that is earned
    back first. Seconds all.
    """

    def __init__(self, share: float, now_s: float) -> None:
        self.share, self.last_s = share, now_s
        self.cost_s = self.debt_s = 0.0

    def due(self, now_s: float) -> bool:
        return self.cost_s + self.debt_s <= self.share * (now_s - self.last_s)

    def spent(self, now_s: float, cost_s: float) -> None:
        """It was done, and over at `now_s`."""
        earned_s = self.share * (now_s - self.last_s)
        # At most its own cost, so that dear ones go on, and not twice as far apart.
        self.debt_s = min(cost_s, max(0.0, self.debt_s + cost_s - earned_s))
        self.last_s, self.cost_s = now_s, cost_s

    def more(self, cost_s: float) -> None:
        """Some of its cost came later."""
        self.cost_s += cost_s
        self.debt_s += cost_s
