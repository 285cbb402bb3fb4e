"""The I/O loop of a learner process, on one screen; signal handlers only set `stopping`."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import structlog

from stream_app.errors import Refused
from stream_app.learner.outside import Outside
from stream_app.learner.shard import Phase, Shard
from stream_app.learner.snapshots import TOO_LONG_TO_LEAVE_S

POLL_RECORDS = 4_000
IDLE_POLL_S = 0.02
COLLECT_EVERY_TURNS = 64
HUNG_EXIT_CODE = 70  # the supervisor restarts after any code that is neither 0 nor a refusal
log = structlog.get_logger()


class Learner:
    """Owns the shards that the group assigned to this member.

    One turn: poll → offer to shards → recover or work each → commit is on the helper pool.
    """

    def __init__(
        self, outside: Outside, fingerprint: dict[str, Any], exit_when_idle_s: float | None = None
    ) -> None:
        self.outside = outside
        self.fingerprint = fingerprint
        self.exit_when_idle_s = exit_when_idle_s
        self.shards: dict[int, Shard] = {}
        self.stopping = threading.Event()
        self.idle_since_s: float | None = None
        self.joined = False
        self.group: bytes | None = None

    def run(self) -> None:
        """Until stopped, or idle for as long as asked.

        Raises:
            Refused: every owned shard halted; the first one's reason.
        """
        log_ = self.outside.log
        log_.subscribe(self.assigned, self.revoked)
        gc.disable()
        busy, turns = False, 0
        while not self.stopping.is_set():
            polled = log_.poll(POLL_RECORDS, 0.0 if busy else IDLE_POLL_S)
            self.group = polled.group
            for (number, rank), records in polled.records.items():
                if (shard := self.shards.get(number)) is not None and shard.phase is Phase.LIVE:
                    shard.offer(rank, records)
            for (number, rank), position in polled.ends.items():
                if (shard := self.shards.get(number)) is not None and shard.phase is Phase.LIVE:
                    shard.merge.end(rank, position)
            busy = bool(polled.records)
            for shard in list(self.shards.values()):
                if shard.phase is Phase.LIVE:
                    busy |= shard.work(polled.group)
                elif shard.phase in (Phase.RECOVERING, Phase.FAILED):
                    busy |= shard.recover()
            turns += 1
            if turns % COLLECT_EVERY_TURNS == 0:
                gc.collect(1)
            self.watch()
        self.leave()

    def assigned(self, numbers: list[int]) -> None:
        self.joined = True
        for number in numbers:
            self.shards[number] = Shard(self.outside, number, self.fingerprint)

    def revoked(self, numbers: list[int], lost: bool) -> None:
        for number in numbers:
            shard = self.shards.pop(number, None)
            if shard is not None:
                shard.drop()

    def watch(self) -> None:
        """The watchdog, the halt of everything, and the idle exit."""
        now_s = self.outside.clock.monotonic()
        for shard in self.shards.values():
            if shard.hangs(now_s):
                log.critical("a commit hangs; leaving so that the supervisor can restart", shard=shard.number)
                os._exit(HUNG_EXIT_CODE)
        refusals = [shard.refusal for shard in self.shards.values() if shard.phase is Phase.HALTED]
        if refusals and len(refusals) == len(self.shards):
            self.leave()
            assert isinstance(refusals[0], Refused)
            raise refusals[0]
        if self.exit_when_idle_s is None:
            return
        if self.joined and all(shard.caught_up for shard in self.shards.values()):
            self.idle_since_s = self.idle_since_s or now_s
            if now_s - self.idle_since_s >= self.exit_when_idle_s:
                self.stopping.set()
        else:
            self.idle_since_s = None

    def leave(self) -> None:
        """Commit what is stepped, snapshot what is cheap enough, leave the group."""
        deadline_s = self.outside.clock.monotonic() + TOO_LONG_TO_LEAVE_S
        live = [shard for shard in self.shards.values() if shard.phase is Phase.LIVE]
        while any(not shard.drained for shard in live) and self.outside.clock.monotonic() < deadline_s:
            for shard in live:
                if shard.phase is Phase.LIVE:
                    shard.finish(self.group)
            self.stopping.wait(0.001)
        for shard in live:
            if shard.phase is Phase.LIVE and shard.drained and shard.schedule.records:
                if shard.schedule.cost_s <= TOO_LONG_TO_LEAVE_S:
                    shard.snapshot()
        for shard in list(self.shards.values()):
            shard.drop()
        self.shards.clear()
        self.outside.log.close()
