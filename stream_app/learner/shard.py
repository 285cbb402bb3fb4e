"""One owned shard.

recovering ──done──▶ live ──transaction failed──▶ failed ──back-off──▶ recovering
    │                 │
    └── contradiction ┴──▶ halted        (revoked or lost from any phase: dropped)
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from enum import Enum
from typing import Any

import structlog

from stream_app.errors import Refused, ShardFailed, StaleGroup
from stream_app.learner.machine import Closed
from stream_app.learner.merge import Merge
from stream_app.learner.outside import Outside
from stream_app.learner.publisher import Publisher
from stream_app.learner.recovery import Recovered, recover
from stream_app.learner.snapshots import FORMAT, Schedule, parts
from stream_app.learner.stats import shard_stats
from stream_app.ports import Commit, Send
from topics.codec import dumps
from topics.envelope import RANK_NAMES, RANKS, Record

BUFFER_HIGH = 20_000  # records of one input held in memory before its partition is paused
BUFFER_LOW = 5_000
STATS_EVERY_S = 1.0
WAIT_ALERT_S = 5.0
RETRY_FIRST_S = 0.5
RETRY_LAST_S = 30.0
log = structlog.get_logger()


class Phase(Enum):
    RECOVERING = "recovering"
    LIVE = "live"
    FAILED = "failed"
    HALTED = "halted"
    DROPPED = "dropped"


LEGAL = {
    Phase.RECOVERING: {Phase.LIVE, Phase.FAILED, Phase.HALTED, Phase.DROPPED},
    Phase.LIVE: {Phase.FAILED, Phase.HALTED, Phase.DROPPED},
    Phase.FAILED: {Phase.RECOVERING, Phase.DROPPED},
    Phase.HALTED: {Phase.DROPPED},
    Phase.DROPPED: set(),
}


class Shard:
    """Phases and the pipelined transaction: while one batch commits on the helper, the next is stepped."""

    def __init__(self, outside: Outside, number: int, fingerprint: dict[str, Any]) -> None:
        self.outside = outside
        self.number = number
        self.fingerprint = fingerprint
        self.phase = Phase.RECOVERING
        self.refusal: Refused | None = None
        self.recovery: Generator[bool, None, Recovered] = recover(outside, number, fingerprint)
        self.retry_at_s = 0.0
        self.retry_s = RETRY_FIRST_S
        self.paused: set[int] = set()
        self.replayed = 0

    def move(self, phase: Phase) -> None:
        if phase not in LEGAL[self.phase]:
            raise RuntimeError(f"shard {self.number}: {self.phase.value} cannot become {phase.value}")
        log.info("shard", shard=self.number, was=self.phase.value, now=phase.value)
        self.phase = phase

    # ── recovery ────────────────────────────────────────────────────────────────────────────────────────────────────

    def recover(self) -> bool:
        """One turn of the recovery, True if more is at hand; on its end the inputs start at the journal's positions."""
        clock = self.outside.clock
        if self.phase is Phase.FAILED:
            if clock.monotonic() < self.retry_at_s:
                return False
            self.move(Phase.RECOVERING)
            self.recovery = recover(self.outside, self.number, self.fingerprint)
        try:
            return next(self.recovery)
        except StopIteration as done:
            self.go_live(done.value)
        except Refused as refusal:
            self.halt(refusal)
        except Exception as error:
            self.fail(error)
        return False

    def go_live(self, recovered: Recovered) -> None:
        outside, self.machine = self.outside, recovered.machine
        self.writer, self.journal_offset = recovered.writer, recovered.journal_offset
        now_s = outside.clock.monotonic()
        self.replayed = recovered.replayed
        self.merge = Merge(self.machine.core.state.log_time_ms)
        self.store = outside.open_store(self.number)
        self.schedule = Schedule(outside.app, now_s)
        self.snapshot_seq = recovered.snapshot_seq
        self.snapshot_at_s: float | None = None
        self.snapshot_bytes = 0
        view = outside.open_view(self.number)
        self.publisher = Publisher(
            view, outside.pool, outside.clock, self.number, self.machine.stamp, view.stamp()
        )
        self.flight: Future[int | None] | None = None
        self.flying: Closed | None = None
        self.flight_since_s = 0.0
        self.resend = False
        self.batch_since_s = now_s
        self.stats_at_s = 0.0
        self.stats_due = True
        self.waiting_since_s: float | None = None
        self.told_waiting = False
        self.step_s = self.commit_s = 0.0
        self.move(Phase.LIVE)
        log.info(
            "shard live", shard=self.number, replayed=recovered.replayed, snapshot=recovered.snapshot_seq
        )
        outside.log.start(self.number, self.machine.positions)

    # ── live ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def offer(self, rank: int, records: list[Record]) -> None:
        self.merge.offer(rank, records)
        if self.merge.buffered(rank) > BUFFER_HIGH and rank not in self.paused:
            self.outside.log.pause(self.number, rank)
            self.paused.add(rank)

    def work(self, group: bytes | None) -> bool:
        """One turn: settle the commit in flight, step what the order rule allows, submit. True if it did something."""
        try:
            self.settle(group)
            stepped = self.advance()
            self.submit(group, eager=not stepped)
            self.publisher.tick(self.machine.core.state.entities if self.drained else None)
            self.maybe_snapshot()
            return stepped
        except Refused as refusal:
            self.halt(refusal)
        except Exception as error:
            self.fail(error)
        return True

    @property
    def drained(self) -> bool:
        """Nothing is stepped that is not committed."""
        return self.flight is None and self.flying is None and not self.machine.records

    @property
    def caught_up(self) -> bool:
        return self.phase is Phase.LIVE and self.drained and self.merge.idle and self.publisher.caught_up

    def advance(self) -> bool:
        room = self.outside.tuning.batch_records - self.machine.records
        if room <= 0 or (
            self.schedule.due(self.outside.clock.monotonic()) and self.machine.records == 0 and self.flight
        ):
            return False
        started_s = self.outside.clock.monotonic()
        first = self.machine.records == 0
        runs = self.merge.take(room)
        if not runs:
            self.watch_merge(started_s)
            return False
        if first:
            self.batch_since_s = started_s
        self.waiting_since_s = None
        self.machine.apply(runs)
        for rank in RANKS:
            self.machine.positions[rank] = self.merge.position(rank, self.machine.positions[rank])
        for rank in list(self.paused):
            if self.merge.buffered(rank) < BUFFER_LOW:
                self.outside.log.resume(self.number, rank)
                self.paused.discard(rank)
        took_s = self.outside.clock.monotonic() - started_s
        self.schedule.worked(took_s, sum(len(records) for _, records in runs))
        self.step_s += took_s
        self.stats_due = True
        return True

    def watch_merge(self, now_s: float) -> None:
        """Tell somebody when an input that is neither silent nor at its end holds the shard up."""
        waiting = self.merge.waiting_for()
        if not waiting:
            self.waiting_since_s, self.told_waiting = None, False
        elif self.waiting_since_s is None:
            self.waiting_since_s = now_s
        elif now_s - self.waiting_since_s > WAIT_ALERT_S and not self.told_waiting:
            self.told_waiting, self.stats_due = True, True
            names = ", ".join(RANK_NAMES[rank] for rank in waiting)
            log.warning("merge waits", shard=self.number, inputs=names, seconds=now_s - self.waiting_since_s)

    def submit(self, group: bytes | None, *, eager: bool) -> None:
        """Hand the batch to the helper once it is full, old enough, or nothing more is at hand."""
        if self.flight is not None or self.flying is not None or group is None:
            return
        now_s, tuning = self.outside.clock.monotonic(), self.outside.tuning
        ended = self.merge.idle and any(
            end > position for end, position in zip(self.merge.ends, self.machine.positions, strict=True)
        )
        if ended:
            # Nothing but control records lies in between: pass them, so that lag and committed offsets are exact.
            self.machine.positions[:] = self.merge.ends
        stats_only = self.stats_due and eager and now_s - self.stats_at_s >= STATS_EVERY_S
        if self.machine.records or ended:
            full = self.machine.records >= tuning.batch_records
            if not (full or eager or (now_s - self.batch_since_s) * 1000 >= tuning.batch_ms):
                return
            closed = self.machine.seal()
            closed.blobs.update(self.publisher.slice(self.machine.core.state.entities))
            self.add_stats(closed.commit, now_s)
            self.flying = closed
            self.fly(closed.commit, group)
        elif stats_only:
            commit = Commit([], [], None, list(self.machine.positions))
            self.add_stats(commit, now_s)
            self.stats_due = False
            self.fly(commit, group)

    def add_stats(self, commit: Commit, now_s: float) -> None:
        if now_s - self.stats_at_s < STATS_EVERY_S:
            return
        self.stats_at_s = now_s
        stats = shard_stats(self, now_s)
        self.outside.telemetry.stats(self.number, stats)
        commit.others.append(Send("stats", str(self.number).encode(), dumps(stats)))

    def fly(self, commit: Commit, group: bytes) -> None:
        self.flight_since_s = self.outside.clock.monotonic()
        self.flight = self.outside.pool.submit(self.writer.commit, commit, group)

    def settle(self, group: bytes | None) -> None:
        """Collect the transaction in flight; a stale generation sends the same outputs again under the new one."""
        if self.flight is None:
            if self.resend and group is not None and self.flying is not None:
                self.resend = False
                self.fly(self.flying.commit, group)
            return
        if not self.flight.done():
            return
        flight, self.flight = self.flight, None
        self.commit_s += self.outside.clock.monotonic() - self.flight_since_s
        try:
            offset = flight.result()
        except StaleGroup:
            self.resend = self.flying is not None
            return
        if self.flying is not None:
            assert offset is not None
            self.journal_offset = offset
            self.publisher.committed(self.flying)
            self.flying = None
            self.retry_s = RETRY_FIRST_S

    def finish(self, group: bytes | None) -> None:
        """Commit what is stepped and step nothing more; called until drained."""
        try:
            self.settle(group)
            if not self.drained:
                self.submit(group, eager=True)
        except Exception as error:
            self.fail(error)

    def hangs(self, now_s: float) -> bool:
        """The commit in flight is past the watchdog."""
        in_flight = self.phase is Phase.LIVE and self.flight is not None
        return in_flight and now_s - self.flight_since_s > self.outside.tuning.watchdog_s

    # ── snapshot and end ────────────────────────────────────────────────────────────────────────────────────────────

    def maybe_snapshot(self) -> None:
        if self.drained and self.schedule.due(self.outside.clock.monotonic()):
            self.snapshot()

    def snapshot(self) -> None:
        """Save the drained state; a store that fails (disk full) costs recovery time, never correctness."""
        clock, machine = self.outside.clock, self.machine
        started_s = clock.monotonic()
        header = {
            "format": FORMAT, "app": self.outside.app.name, "shard": self.number, "epoch": machine.epoch,
            "seq": machine.seq, "digest": machine.digest, "positions": machine.positions,
            "journal_offset": self.journal_offset, "fingerprint": self.fingerprint,
        }  # fmt: skip
        try:
            payload = self.store.dump(parts(self.outside.app, machine.core.state))
            self.snapshot_bytes = self.store.save(header, payload)
            self.snapshot_seq, self.snapshot_at_s = machine.seq, clock.monotonic()
        except Exception as error:
            log.error("snapshot failed", shard=self.number, error=str(error))
        self.schedule.taken(clock.monotonic(), clock.monotonic() - started_s)
        self.stats_due = True

    def halt(self, refusal: Refused) -> None:
        self.refusal = refusal
        self.close_doors()
        self.move(Phase.HALTED)
        log.error("shard halted", shard=self.number, why=str(refusal))
        self.outside.telemetry.halted(self.number, str(refusal))

    def fail(self, error: Exception) -> None:
        """Crash-only: whatever this shard held in memory is void; recover it from the log after a pause."""
        expected = isinstance(error, ShardFailed)
        log.error("shard failed", shard=self.number, error=str(error), exc_info=None if expected else error)
        self.close_doors()
        self.retry_at_s = self.outside.clock.monotonic() + self.retry_s
        self.retry_s = min(RETRY_LAST_S, self.retry_s * 2)
        self.move(Phase.FAILED)

    def drop(self) -> None:
        """Revoked or lost: wait for the helper's commit, then forget everything."""
        if self.phase is Phase.LIVE and self.flight is not None:
            try:
                self.flight.exception(timeout=self.outside.tuning.watchdog_s)
            except TimeoutError:
                log.error("commit still hangs while the shard is taken away", shard=self.number)
        self.close_doors()
        self.move(Phase.DROPPED)

    def close_doors(self) -> None:
        if self.phase is Phase.LIVE:
            self.outside.log.stop(self.number)
            self.writer.close()
        self.recovery.close()
