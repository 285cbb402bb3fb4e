"""The contract of `Clock`, for the system's and for those that tests move."""

from __future__ import annotations

import time

import pytest

from stream_app.adapters.clock import SystemClock
from stream_app.ports import Clock
from tests.scenario import fake_outside
from tests.simulation.schedules import SteppedClock
from topics.times import EARLIEST_MS

CLOCKS = [SystemClock(), fake_outside.Clock(), SteppedClock()]


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: type(clock).__name__)
def test_wall_time_is_in_whole_milliseconds_and_monotonic_time_never_goes_back(clock: Clock) -> None:
    """What is stamped by it passes the door for records; what is measured by it is never negative."""
    assert type(clock.now_ms()) is int
    assert EARLIEST_MS < clock.now_ms() < time.time_ns() // 1_000_000 + 1
    stamps = [clock.monotonic() for _ in range(100)]
    assert stamps == sorted(stamps)


def test_a_wall_clock_that_is_set_back_moves_no_monotonic_time() -> None:
    """As of a machine whose time is corrected."""
    clock = SteppedClock()
    before_s, before_ms = clock.monotonic(), clock.now_ms()
    clock.off_s = -3_600.0
    assert clock.monotonic() >= before_s
    assert clock.now_ms() < before_ms
