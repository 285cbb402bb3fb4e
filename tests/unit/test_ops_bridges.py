"""An alert says that records wait for a bridge that nobody runs, once, and ends when that is over."""

from __future__ import annotations

import asyncio

import pytest
from kafka.errors import LeaderNotAvailableError

from stream_app.errors import Refused
from stream_app.inspect.bridge_condition import BridgeCondition
from stream_app.ops.bridges import BRIDGE_SILENT, BridgeWatch
from tests.unit.test_ops_delivery import Answers, Process

NOBODY = BridgeCondition(0, {"trips": 40, "fares": 2}, 0, 0)
BRIDGED = BridgeCondition(1, {"trips": 40}, 0, 0)
COPIED = BridgeCondition(0, {"trips": 0}, 0, 0)


def watched(process: Process) -> BridgeWatch:
    """A watch that waits for a minute, over the tables of a process."""
    return BridgeWatch(process.intake, lambda: NOBODY, 60.0)


def alerts(process: Process) -> list[str]:
    """The messages of what was raised, oldest first."""
    return [entry["alert"]["message"] for entry in process.tables.alerts.values()]


def test_an_alert_is_raised_once_and_ended_by_a_bridge() -> None:
    """Not before the time is over, and not again while it stands."""
    process = Process(pager=(Answers(), {}))
    watch = watched(process)
    for now_ms in (1_000, 60_000):
        watch.judge(NOBODY, now_ms)
    assert not alerts(process)
    for now_ms in (61_000, 71_000):
        watch.judge(NOBODY, now_ms)
    raised = "42 records wait to be copied, and no bridge has run for 60 s"
    assert alerts(process) == [raised]
    watch.judge(BRIDGED, 81_000)
    watch.judge(BRIDGED, 91_000)
    assert alerts(process) == [raised, "a bridge runs again"]
    assert BRIDGE_SILENT not in process.intake.standing


def test_a_bridge_that_dies_before_it_copies_is_an_alert_again() -> None:
    """Nothing has been copied in between."""
    process = Process(pager=(Answers(), {}))
    watch = watched(process)
    for now_ms, found in (
        (0, NOBODY),
        (60_000, NOBODY),
        (70_000, BRIDGED),
        (80_000, NOBODY),
        (140_000, NOBODY),
    ):
        watch.judge(found, now_ms)
    assert len(alerts(process)) == 3
    assert process.intake.standing[BRIDGE_SILENT].evidence == {"behind": NOBODY.behind}


@pytest.mark.parametrize("found", [BRIDGED, COPIED])
def test_a_short_pause_raises_nothing(found: BridgeCondition) -> None:
    """A bridge that is restarted, or that has nothing to do."""
    process = Process(pager=(Answers(), {}))
    watch = watched(process)
    for now_ms, one in ((0, NOBODY), (30_000, found), (60_000, NOBODY), (110_000, NOBODY)):
        watch.judge(one, now_ms)
    assert not alerts(process)


def test_the_next_process_raises_it_no_second_time_and_can_end_it() -> None:
    """It finds the alert in the tables."""
    process = Process(pager=(Answers(), {}))
    first = watched(process)
    for now_ms in (0, 60_000):
        first.judge(NOBODY, now_ms)
    other = Process(process.tables, pager=(Answers(), {}))
    other.intake.restore(70_000)
    second = watched(other)
    for now_ms in (70_000, 140_000):
        second.judge(NOBODY, now_ms)
    second.judge(COPIED, 150_000)
    assert len(alerts(other)) == 2
    assert alerts(other)[-1] == "nothing waits to be copied any more"


def test_a_broker_that_does_not_answer_raises_nothing() -> None:
    """Other alerts say that; the next look may find it."""

    def away() -> BridgeCondition:
        raise Refused("no broker answers", "Start it")

    def lost() -> BridgeCondition:
        raise LeaderNotAvailableError("of a partition")

    process = Process(pager=(Answers(), {}))
    watch = BridgeWatch(process.intake, away, 0.0)
    asyncio.run(watch.check(lambda: 5, lambda: True))
    watch.look = lost
    asyncio.run(watch.check(lambda: 5, lambda: True))
    watch.look = lambda: NOBODY
    asyncio.run(watch.check(lambda: 5, lambda: False))
    assert not alerts(process)
    asyncio.run(watch.check(lambda: 5, lambda: True))
    assert len(alerts(process)) == 1
