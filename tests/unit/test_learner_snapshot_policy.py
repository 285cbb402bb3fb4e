"""When a snapshot is due: its share of the time is kept, whatever the state grows to."""

from __future__ import annotations

from stream_app.application import Application, Snapshots
from stream_app.learner.recovery.snapshot_policy import SHORT_S, SnapshotPolicy


def schedule(max_cost: float = 0.02, max_recovery: str = "10m") -> SnapshotPolicy:
    """From second 0 on."""
    snapshot = Snapshots(max_cost=max_cost, max_recovery=max_recovery)
    app = Application(name="a", task="binary", champion=lambda _: None, snapshot=snapshot)
    return SnapshotPolicy(app, 0.0)


def test_snapshots_of_a_growing_state_keep_their_share() -> None:
    """One is due only if all so far, and one more like the last, are within it: a dear one is paid first."""
    due, spent_s, costs = schedule(), 0.0, [0.0]
    for now_s in range(1, 601):
        due.worked(1.0, 100)
        if due.due(now_s):
            assert len(costs) == 1 or spent_s + costs[-1] <= 0.02 * now_s + 1e-9
            costs.append(0.05 * now_s)
            due.taken(now_s, costs[-1] / 2)
            due.saved(costs[-1] / 2)
            spent_s += costs[-1]
    assert len(costs) > 3


def test_a_cheap_snapshot_is_taken_after_each_short_while() -> None:
    """It saves the replay, and costs nothing."""
    due = schedule()
    due.worked(SHORT_S, 10)
    assert due.due(SHORT_S)
    due.taken(SHORT_S, 0.0)
    due.worked(SHORT_S - 1, 10)
    assert not due.due(2 * SHORT_S - 1)
    due.worked(1, 10)
    assert due.due(2 * SHORT_S)


def test_a_replay_never_takes_longer_than_declared_whatever_a_snapshot_costs() -> None:
    """The bound of recovery beats the bound of cost."""
    due = schedule(max_recovery="10s")
    due.taken(0.0, 100.0)
    due.worked(10.0, 10)
    assert due.due(10.0)


def test_nothing_is_saved_where_nothing_was_stepped() -> None:
    """Time alone makes no snapshot due."""
    assert not schedule().due(1e6)
