"""The I/O loop of a learner process; signal handlers only set `stopping`."""

from __future__ import annotations

import gc
import os
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from itertools import count
from typing import Any

import structlog

from stream_app.errors import Halted, ShardFailed
from stream_app.learner.dependencies import Dependencies
from stream_app.learner.process_alerts import write_halt_alert
from stream_app.learner.recovery.lives import replaced
from stream_app.learner.recovery.snapshots import TOO_LONG_TO_LEAVE_S
from stream_app.learner.reports import sum_up
from stream_app.learner.shard import Shard
from stream_app.learner.topic_inspection import TopicInspection
from stream_app.learner.watchdog import HUNG_EXIT_CODE, Watchdog
from stream_app.ports import Polled
from topics.envelope import RANK_NAMES

POLL_RECORDS = 1_000  # at a time, so that they are still in the processor's cache when they are stepped
IDLE_POLL_S = 0.02
REST_S = 0.02  # the group must be polled all the same
COLLECT_EVERY_TURNS = 64
COLLECT_ALL_EVERY_S = 120.0  # a tenth of a second of what was imported alone
WAITING_S = 10.0  # of the idle exit, until the log says for what; and again after as long
LAST_WORDS_S = 1.0  # to commit and show what the last snapshot needs, and for statistics that report it
LAST_WRITE_S = 20.0  # for the last snapshots: SIGKILL may follow SIGTERM after half a minute
TOPIC_IDS_EVERY_S = 10.0
log = structlog.get_logger()


class Learner:
    """Owns the shards that the group assigned to this member.

    One turn: poll → offer to shards → recover or work each → commit is on the helper pool.
    """

    def __init__(
        self, deps: Dependencies, fingerprint: dict[str, Any], exit_when_idle_s: float | None = None
    ) -> None:
        self.deps = deps
        self.fingerprint = fingerprint
        self.exit_when_idle_s = exit_when_idle_s
        self.shards: dict[int, Shard] = {}
        self.stopping = threading.Event()
        self.idle_since_s: float | None = None
        self.waits_for: dict[str, str] = {}
        self.waits_since_s = 0.0
        self.joined = False
        self.collect_at_s = 0.0
        self.watchdog = Watchdog(deps.clock, deps.tuning.loop_watchdog_s)
        self.topic_ids: Future[dict[str, str]] | None = None
        self.topic_ids_at_s = deps.clock.monotonic() + TOPIC_IDS_EVERY_S
        self.saved: list[tuple[int, float | None]] = []  # shards, and the time of their newest snapshot
        self.topics = TopicInspection(deps)
        self.owned: list[int] = []  # the newest assignment: the group takes shards of a deleted topic away

    def run(self) -> None:
        """Run until stopped, or idle for as long as asked.

        Raises:
            Refused: every owned shard halted; the first one's reason.
        """
        self.watchdog.start()
        try:
            self.turns()
            self.leave()
        finally:
            self.watchdog.rest()

    def turns(self) -> None:
        """Take one turn after the other until `stopping`; raises as `run`."""
        inputs, beat = self.deps.log, self.watchdog.beat
        inputs.subscribe(self.assigned, self.revoked)
        gc.disable()  # a collection in the middle of a batch costs more than all that it frees
        self.collect_all()
        busy = False
        for turn in count(1):
            if self.stopping.is_set():
                break
            # With plenty at hand one record is asked for: the poll must go on, or the group would let us go.
            limit = POLL_RECORDS if self.hungry else 1
            started_s = self.deps.clock.monotonic()
            beat("poll")
            polled = inputs.poll(limit, 0.0 if busy else IDLE_POLL_S)
            # One that may wait is no cost.
            self.take_in(polled, self.deps.clock.monotonic() - started_s if busy else 0.0)
            busy = bool(polled.records)
            for shard in list(self.shards.values()):
                beat(f"shard {shard.number}, {shard.phase.value}")
                busy |= shard.turn()
            beat("between turns")
            self.rest()
            self.collect_garbage(turn)
            self.check_topics()
            self.check_end()

    def rest(self) -> None:
        """Sleep while every live shard is blocked by its commit: turning on would take the helpers' time.

        Measured with one shard on a backlog: two events a turn, and a third of the events per second.
        """
        flights = [shard.live.blocked_by for shard in self.shards.values() if shard.live is not None]
        blocked = [flight for flight in flights if flight is not None]
        if blocked and len(blocked) == len(self.shards):
            wait(blocked, REST_S, FIRST_COMPLETED)

    def collect_garbage(self, turn: int) -> None:
        """Collect garbage between turns: the young often, all of it after a snapshot or a recovery."""
        saved = [
            (shard.number, shard.live.snapshotter.at_s)
            for shard in self.shards.values()
            if shard.live is not None
        ]
        if saved != self.saved and self.deps.clock.monotonic() >= self.collect_at_s:
            self.saved = saved
            self.collect_all()
        elif turn % COLLECT_EVERY_TURNS == 0:
            gc.collect(1)

    def collect_all(self) -> None:
        """Collect what has grown old, and let a large state not be walked again for a while."""
        self.collect_at_s = self.deps.clock.monotonic() + COLLECT_ALL_EVERY_S
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    @property
    def hungry(self) -> bool:
        """Whether a live shard could step more with more records."""
        live = [shard.live for shard in self.shards.values() if shard.live is not None]
        return not live or any(shard.hungry for shard in live)

    def take_in(self, polled: Polled, took_s: float) -> None:
        """Hand polled records to their shards, with their part of the poll's time; others were revoked."""
        n = sum(map(len, polled.records.values()))
        for (number, rank), records in polled.records.items():
            if (shard := self.shards.get(number)) is not None and shard.live is not None:
                shard.live.offer(rank, records)
                shard.live.costs.seconds["poll"] += took_s * len(records) / n
        for (number, rank), position in polled.ends.items():
            if (shard := self.shards.get(number)) is not None and shard.live is not None:
                shard.live.merge.end(rank, position)
        if polled.cut:
            with suppress(ShardFailed):  # perhaps it is not the offset that is gone, but the topic
                self.require_same_inputs(self.deps.log.topic_ids())
        for (number, rank), why in polled.cut.items():
            if (shard := self.shards.get(number)) is not None and shard.live is not None:
                shard.halt(
                    Halted(
                        f"shard {number}: its {RANK_NAMES[rank]} were deleted before they were read ({why})",
                        "Restore the topic from a backup and raise its retention, or run `stream-app upgrade "
                        "MODULE:APP`: it goes on behind what was deleted",
                    )
                )

    def assigned(self, numbers: list[int]) -> None:
        """The group gave us shards."""
        self.joined = True
        for number in numbers:
            self.shards[number] = Shard(self.deps, number, self.fingerprint)
        self.owned = list(self.shards) or self.owned

    def revoked(self, numbers: list[int], lost: bool) -> None:
        """The group took shards away; a lost one is another's already, whose fence stops our commit."""
        log.info("revoked", shards=numbers, lost=lost)
        for number in numbers:
            shard = self.shards.pop(number, None)
            if shard is not None:
                shard.drop()

    def check_end(self) -> None:
        """The watchdog, the halt of everything, and the idle exit."""
        now_s = self.deps.clock.monotonic()
        for shard in self.shards.values():
            if shard.hangs(now_s):
                log.critical("a commit hangs; leaving so that the supervisor can restart", shard=shard.number)
                os._exit(HUNG_EXIT_CODE)
        self.check_input_ids(now_s)
        refusals = [shard.refusal for shard in self.shards.values() if shard.refusal is not None]
        if refusals and len(refusals) == len(self.shards):
            self.leave()
            raise refusals[0]
        if self.exit_when_idle_s is None:
            return
        waits = self.waits()
        if not waits:
            self.idle_since_s = self.idle_since_s or now_s
            if now_s - self.idle_since_s >= self.exit_when_idle_s:
                self.stopping.set()
            return
        if self.idle_since_s is not None or waits != self.waits_for:
            self.waits_for, self.waits_since_s = waits, now_s
        self.idle_since_s = None
        if now_s - self.waits_since_s >= WAITING_S:
            self.waits_since_s = now_s
            log.warning("the exit waits", waits_for=waits)

    def waits(self) -> dict[str, str]:
        """Name by shard what keeps the idle exit waiting; empty where nothing does."""
        if not self.joined:
            return {"group": "an assignment"}
        found = {
            str(shard.number): shard.phase.value if shard.live is None else shard.live.waits_for
            for shard in self.shards.values()
        }
        return {number: what for number, what in found.items() if what}

    def check_topics(self) -> None:
        """Have the topics looked at now and then, on the helper pool.

        Raises:
            Refused: one was deleted. The client would go on to wait for it, and nothing would say so.
        """
        found = self.topics.collect()
        if found is None:
            return
        # One shard speaks for all: the topics are the same.
        if 0 in self.shards and (live := self.shards[0].live) is not None:
            live.runtime_alerts.topic_settings(found.unsafe)
        refusal = found.refusal
        if refusal is None:
            return
        halt_alerts = [
            write_halt_alert(self.deps, number, refusal) for number in self.owned if number not in self.shards
        ]
        for shard in self.shards.values():
            if shard.refusal is None:
                shard.halt(refusal)
        self.leave()
        wait(halt_alerts, TOO_LONG_TO_LEAVE_S)
        raise refusal

    def check_input_ids(self, now_s: float) -> None:
        """Ask now and then for the ids of the input topics, and judge the answer."""
        if self.topic_ids is None:
            if now_s >= self.topic_ids_at_s:
                self.topic_ids_at_s = now_s + TOPIC_IDS_EVERY_S
                self.topic_ids = self.deps.pool.submit(self.deps.log.topic_ids)
        elif self.topic_ids.done():
            asked, self.topic_ids = self.topic_ids, None
            if not asked.exception():
                self.require_same_inputs(asked.result())

    def require_same_inputs(self, found: dict[str, str]) -> None:
        """Leave at once if input topics are not those of the start: what was stepped may be of the new ones,
        and belongs in no journal. The next start decides what they mean.
        """
        if names := replaced(found, self.fingerprint["topics"]):
            log.critical("input topics were deleted and created again; leaving to start again", topics=names)
            os._exit(HUNG_EXIT_CODE)

    def leave(self) -> None:
        """Commit what is stepped, snapshot what is cheap, send the last statistics, leave the group."""
        clock = self.deps.clock
        written_by_s = clock.monotonic() + TOO_LONG_TO_LEAVE_S + LAST_WRITE_S
        self.finish(TOO_LONG_TO_LEAVE_S, last_words=False)
        self.await_snapshots(written_by_s)  # one is written at a time
        for shard in self.shards.values():
            if shard.live is not None:
                shard.live.leave()
        for last_words in (False, True):  # what it commits is written and shown, then reported
            self.finish(LAST_WORDS_S, last_words=last_words)
            self.await_snapshots(written_by_s)
        for shard in self.shards.values():
            if shard.live is not None:
                sum_up(shard.live)
            shard.drop()
        self.shards.clear()
        self.deps.log.close()

    def finish(self, within_s: float, *, last_words: bool) -> None:
        """Let every shard commit what it has stepped and show it; `last_words`: and send its statistics."""
        self.watchdog.beat("leaving")
        deadline_s = self.deps.clock.monotonic() + within_s
        unfinished = list(self.shards.values())
        while unfinished and self.deps.clock.monotonic() < deadline_s:
            unfinished = [s for s in unfinished if not s.finish(last_words=last_words)]
            time.sleep(0.001)  # not `stopping.wait`, which is set and would not

    def await_snapshots(self, until_s: float) -> None:
        """Wait for what is being written; a store that hangs is left then."""
        lives = [shard.live for shard in self.shards.values() if shard.live is not None]
        writes = [live.snapshotter.writing for live in lives if live.snapshotter.writing is not None]
        _, hanging = wait(writes, max(0.0, until_s - self.deps.clock.monotonic()))
        if hanging:
            log.error("a snapshot is not written in time; leaving without it", shards=len(hanging))
        for live in lives:
            live.saved()
