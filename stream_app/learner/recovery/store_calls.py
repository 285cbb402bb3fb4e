"""Calls of a recovery to the snapshot store: off the loop, and repeated until the store answers.

A store that is away says nothing about which snapshots there are. To go on without them would replay
everything, or halt a shard whose snapshots are all there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import structlog

from stream_app.errors import Unreachable
from stream_app.learner.dependencies import Dependencies
from stream_app.learner.process_alerts import alert
from stream_app.learner.recovery.replay import WAITING
from stream_app.ports import Send

T = TypeVar("T")
Ask = Callable[..., Generator[bool, None, Any]]  # a call and its arguments; what it gives in the end
RETRY_S = 2.0
SILENT_S = 30.0  # without any answer, not even an error
log = structlog.get_logger()


class StoreCalls:
    """Calls of one recovery, one at a time; `write` commits an alert in a transaction of its own."""

    def __init__(
        self, deps: Dependencies, shard: int, write: Callable[[Send], Generator[bool, None, None]]
    ) -> None:
        self.deps, self.shard, self.write = deps, shard, write
        self.away = False

    def __call__(self, work: Callable[..., T], *arguments: Any) -> Generator[bool, None, T]:
        """Give others a turn until the call is done; what it raises but Unreachable is raised."""
        clock = self.deps.clock
        while True:
            asked_s, answer = clock.monotonic(), self.deps.store_pool.submit(work, *arguments)
            while not answer.done():
                if clock.monotonic() - asked_s > SILENT_S:
                    yield from self.unreachable(f"the snapshot store has not answered for {SILENT_S:.0f} s")
                yield WAITING
            try:
                found: T = answer.result()
            except Unreachable as away:
                yield from self.unreachable(away.message)
                failed_s = clock.monotonic()
                while clock.monotonic() - failed_s < RETRY_S:
                    yield WAITING
                continue
            if self.away:
                log.info("the snapshot store answers again", shard=self.shard)
            self.away = False
            return found

    def unreachable(self, why: str) -> Generator[bool, None, None]:
        """Log and raise the alert, once until the store has answered."""
        if self.away:
            return
        self.away = True
        log.error("snapshots cannot be read now", shard=self.shard, why=why, retry_s=RETRY_S)
        text = f"shard {self.shard} waits for its snapshots and predicts nothing meanwhile: {why}"
        name, now_ms, evidence = self.deps.app.name, self.deps.clock.now_ms(), {"why": why}
        yield from self.write(
            alert(name, self.shard, str(now_ms), now_ms, "snapshots-unreachable", text, evidence)
        )


def at_once(work: Callable[..., Any], *arguments: Any) -> Generator[bool, None, Any]:
    """Make a call in a process that has no other shard to give a turn to; raises Unreachable as well."""
    yield from ()
    return work(*arguments)
