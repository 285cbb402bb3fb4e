"""The I/O loop of a learner process, on one screen; signal handlers only set `stopping`."""

from __future__ import annotations

import gc
import os
import threading
from itertools import count
from typing import Any

import structlog

from stream_app.learner.outside import Outside
from stream_app.learner.shard import Shard
from stream_app.learner.snapshots import TOO_LONG_TO_LEAVE_S
from stream_app.ports import Polled

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
        inputs = self.outside.log
        inputs.subscribe(self.assigned, self.revoked)
        gc.disable()  # a collection in the middle of a batch costs more than all that it frees
        busy = False
        for turn in count(1):
            if self.stopping.is_set():
                break
            # With plenty at hand one record is asked for: the poll must go on, or the group would let us go.
            limit = POLL_RECORDS if self.hungry else 1
            polled = inputs.poll(limit, 0.0 if busy else IDLE_POLL_S)
            self.group = polled.group
            self.take_in(polled)
            busy = bool(polled.records)
            for shard in list(self.shards.values()):
                busy |= shard.turn(polled.group)
            if turn % COLLECT_EVERY_TURNS == 0:
                gc.collect(1)
            self.watch()
        self.leave()

    @property
    def hungry(self) -> bool:
        """Some live shard could step more with more records."""
        live = [shard.live for shard in self.shards.values() if shard.live is not None]
        return not live or any(shard.hungry for shard in live)

    def take_in(self, polled: Polled) -> None:
        """Hand what was polled to its shards; what belongs to none was revoked meanwhile."""
        for (number, rank), records in polled.records.items():
            if (shard := self.shards.get(number)) is not None and shard.live is not None:
                shard.live.offer(rank, records)
        for (number, rank), position in polled.ends.items():
            if (shard := self.shards.get(number)) is not None and shard.live is not None:
                shard.live.merge.end(rank, position)

    def assigned(self, numbers: list[int]) -> None:
        """The group gave us shards."""
        self.joined = True
        for number in numbers:
            self.shards[number] = Shard(self.outside, number, self.fingerprint)

    def revoked(self, numbers: list[int], lost: bool) -> None:
        """The group took shards away; a lost one is another's already, whose fence stops our commit."""
        log.info("revoked", shards=numbers, lost=lost)
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
        refusals = [shard.refusal for shard in self.shards.values() if shard.refusal is not None]
        if refusals and len(refusals) == len(self.shards):
            self.leave()
            raise refusals[0]
        if self.exit_when_idle_s is None:
            return
        if self.joined and all(s.live is not None and s.live.caught_up for s in self.shards.values()):
            self.idle_since_s = self.idle_since_s or now_s
            if now_s - self.idle_since_s >= self.exit_when_idle_s:
                self.stopping.set()
        else:
            self.idle_since_s = None

    def leave(self) -> None:
        """Commit what is stepped, tell the last statistics, snapshot what is cheap, leave the group."""
        clock = self.outside.clock
        deadline_s = clock.monotonic() + TOO_LONG_TO_LEAVE_S
        unfinished = list(self.shards.values())
        while unfinished and clock.monotonic() < deadline_s:
            unfinished = [shard for shard in unfinished if not shard.finish(self.group)]
            self.stopping.wait(0.001)
        for shard in self.shards.values():
            if shard.live is not None and shard.live.drained and shard.live.saver.cheap:
                shard.live.saver.save(shard.live.machine)
        for shard in self.shards.values():
            shard.drop()
        self.shards.clear()
        self.outside.log.close()
