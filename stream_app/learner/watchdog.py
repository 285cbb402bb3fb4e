"""The watchdog of the loop itself: a thread that ends the process when the loop hangs for long.

A commit that hangs is another thing, with another bound (`Pipeline.hangs`): it blocks a helper, and the
loop goes on. What can block the loop: a model that does not answer, the pickling of a large state, a client.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable
from threading import Event, Thread

import structlog

from stream_app.ports import Clock

LOOKS = 20  # within the bound
HUNG_EXIT_CODE = 70  # the supervisor restarts after any code that is neither 0 nor a refusal
log = structlog.get_logger()


class Watchdog:
    """`beat` before whatever may take long; `doing` is what the last beat announced."""

    def __init__(self, clock: Clock, limit_s: float, end: Callable[[int], object] = os._exit) -> None:
        self.clock, self.limit_s, self.end = clock, limit_s, end
        self.beat_s, self.doing = clock.monotonic(), "starting"
        self.resting = Event()

    def beat(self, doing: str) -> None:
        """Note that the loop goes on, and what it does next."""
        self.beat_s, self.doing = self.clock.monotonic(), doing

    def start(self) -> None:
        """Look from a thread of its own until `rest`."""
        self.beat("starting")
        Thread(target=self.watch, daemon=True, name="watchdog").start()

    def watch(self) -> None:
        while not self.resting.wait(self.limit_s / LOOKS):
            self.look()

    def look(self) -> None:
        """End the process if the loop hangs; the stacks on stderr show where."""
        stands_s = self.clock.monotonic() - self.beat_s
        if stands_s > self.limit_s:
            text = "the loop makes no progress; leaving so that the supervisor can restart"
            log.critical(text, doing=self.doing, seconds=round(stands_s))
            if sys.__stderr__ is not None:
                faulthandler.dump_traceback(sys.__stderr__)
            self.end(HUNG_EXIT_CODE)

    def rest(self) -> None:
        """Stop looking: the loop has ended."""
        self.resting.set()
