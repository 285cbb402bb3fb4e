"""A live shard, one turn from top to bottom: step → collect the commit → submit → view."""

from __future__ import annotations

from concurrent.futures import Future

import structlog

from stream_app.learner.reports import add_stats
from stream_app.learner.shard_parts import ShardParts
from stream_app.ports import Commit
from topics.envelope import RANK_NAMES, RANKS, Record
from topics.journal import RefilledSets

BUFFER_HIGH = 20_000  # records of one input held in memory before its partition is paused
BUFFER_LOW = 5_000
BUFFER_HIGH_BYTES = 64 << 20
ENOUGH = 1_000  # records at hand with which the loop need not fetch more
TURN_S = 0.05  # a slow model must not keep commits and the group waiting for a whole batch
PROVING_TURN_S = 0.2  # while each batch takes two transactions, and nothing is stepped beside them
BEHIND_MS = 200.0  # a batch waits so long while more is at hand: there throughput counts, not latency
FAR_BEHIND_MS = 1_000.0  # a batch waits at most so long, while what is at hand takes longer to step
STATS_EVERY_S = 1.0
IDLE_STATS_EVERY_S = 10.0  # also without input: they distinguish an idle shard from one without a learner
log = structlog.get_logger()


class ActiveShard(ShardParts):
    """Runs a recovered shard on its parts; it is dropped whole when anything fails."""

    @property
    def drained(self) -> bool:
        """Whether all that was stepped or announced is committed."""
        return self.pipeline.free and not self.processor.records and self.care.announced is None

    @property
    def caught_up(self) -> bool:
        """Whether inputs are at their ends, all is committed and the view shows it or must not be written."""
        return not self.waits_for

    @property
    def waits_for(self) -> str:
        """Name what is not done yet; empty: nothing.

        Statistics on their way are no work: sent every few seconds, they would keep an idle exit from coming.
        """
        committed = self.pipeline.sealed is None and not self.processor.records and not self.care.held
        if not (committed and self.merge.idle):
            return "its inputs and commits"
        return "" if self.view_writer.caught_up or self.view_writer.fenced else "the view in Redis"

    @property
    def blocked(self) -> bool:
        """Whether nothing may be stepped: the batch is full, or must be committed before the next begins."""
        if not self.care.proven:
            return self.processor.records > 0 or not self.pipeline.free
        return self.processor.records >= self.tuning.batch_records

    @property
    def blocked_by(self) -> Future[int | None] | None:
        """The commit in flight, while nothing can be stepped before it is done."""
        return self.pipeline.flight if self.blocked else None

    @property
    def hungry(self) -> bool:
        """Whether more records would let the shard step more."""
        return bool(self.merge.waiting_for()) or sum(map(self.merge.buffered, RANKS)) < ENOUGH

    @property
    def longest_ms(self) -> float:
        """How long a batch may wait to be submitted: with a backlog about as long as that takes to step.

        Each commit leaves the processor's caches cold: measured in ADR 4.
        """
        buffered = sum(map(self.merge.buffered, RANKS))
        if not buffered:
            return self.tuning.batch_ms
        takes_ms = buffered / self.turn_records * TURN_S * 1000
        return max(self.tuning.batch_ms, BEHIND_MS, min(FAR_BEHIND_MS, takes_ms))

    def offer(self, rank: int, records: list[Record]) -> None:
        """Take polled records in; an input that runs far ahead of the others is paused."""
        repeats = self.merge.offer(rank, records)
        if repeats:
            log.warning(
                "records that came already", shard=self.shard, input=RANK_NAMES[rank], records=repeats
            )
        full = self.merge.buffered(rank) > BUFFER_HIGH or self.merge.buffered_bytes(rank) > BUFFER_HIGH_BYTES
        if full and rank not in self.paused:
            self.deps.log.pause(self.shard, rank)
            self.paused.add(rank)

    def turn(self) -> bool:
        """Step what the order rule allows, collect the commit in flight, submit. True if it stepped.

        In this order: a commit that was done while records were stepped makes room for the next one at once.
        """
        if not self.care.proven:
            self.collect_commit()  # what is stepped next waits for it
        stepped, costs = self.advance(), self.costs
        costs.begin()
        self.collect_commit()
        self.submit(eager=not stepped)
        costs.lap("seal")
        self.view_writer.tick(self.processor.core.state.entities if self.drained else None)
        costs.lap("view")
        self.champion_publisher.tick(self.processor.stamp)
        costs.lap("publish")
        fences = (self.view_writer.fenced, self.champion_publisher.fenced)
        self.stats_due |= fences != self.fences
        self.fences = fences
        return stepped

    def leave(self) -> None:
        """Keep a last snapshot and champion before the shard is dropped."""
        if self.drained and self.checkpoints.choose_last():
            self.capture_at_rest()

    def capture_at_rest(self) -> None:
        """Capture what is due of an idle shard; an empty batch records that sets were refilled."""
        if (group := self.deps.log.group()) is None:
            return
        self.costs.begin()
        settled = self.checkpoints.pickle()
        if settled is not None:
            self.seal(group, settled)
        else:
            self.checkpoints.capture()
            self.checkpoints.committed(self.snapshotter.journal_offset)
        self.collect_commit()

    def saved(self) -> None:
        """Report a snapshot that was saved or failed since the last call, if there is one."""
        if self.snapshotter.collect_write():
            self.runtime_alerts.report_snapshots(self.snapshotter)
            self.stats_due = True

    def collect_commit(self) -> None:
        """Take note of a batch that is committed; send again what an old generation could not commit."""
        if self.pipeline.refused and (group := self.deps.log.group()) is not None:
            self.pipeline.resend(group)
        committed = self.pipeline.collect_commit()
        if committed is not None:
            sealed, journal_offset = committed
            self.care.committed()
            self.view_writer.committed(sealed)
            self.runtime_alerts.log_alerts(sealed.commit)
            self.checkpoints.committed(journal_offset)
        self.saved()

    def advance(self) -> bool:
        """Step what the order rule and the batch allow."""
        if self.blocked:
            return False
        started_s = self.clock.monotonic()
        room = min(self.tuning.batch_records - self.processor.records, self.turn_records, self.care.size)
        runs = self.care.held or self.merge.next_runs(room)
        if not runs:
            if self.merge.idle and self.drained:
                self.care.idle()
            self.stats_due |= self.runtime_alerts.report_silent_inputs(self.merge.waiting_for(), started_s)
            return False
        if not self.processor.records:
            self.batch_since_s = started_s
        self.runtime_alerts.report_silent_inputs([], started_s)
        if self.care.holds(runs):
            return self.announce()
        self.care.step(runs, self.costs.sampler())
        for rank in RANKS:
            self.processor.positions[rank] = self.merge.position(rank, self.processor.positions[rank])
        for rank in list(self.paused):
            few = self.merge.buffered(rank) < BUFFER_LOW
            if few and self.merge.buffered_bytes(rank) < BUFFER_HIGH_BYTES / 2:
                self.deps.log.resume(self.shard, rank)
                self.paused.discard(rank)
        took_s = self.clock.monotonic() - started_s
        stepped = sum(len(records) for _, records in runs)
        turn_s = TURN_S if self.care.proven else PROVING_TURN_S
        self.turn_records = max(1, round(stepped * turn_s / took_s)) if took_s else self.tuning.batch_records
        self.snapshotter.worked(took_s, stepped)
        self.costs.stepped(took_s)
        self.step_seconds.observe(took_s)
        self.stats_due = True
        return True

    def announce(self) -> bool:
        """Commit what is to be stepped next, before it is; False without a generation."""
        if (group := self.deps.log.group()) is None:
            return False
        commit = self.care.announcement()
        self.runtime_alerts.log_alerts(commit)
        self.pipeline.send(commit, group, None)
        return True

    def submit(self, *, eager: bool, leaving: bool = False) -> None:
        """Hand the batch to the helper once it is full, old enough, or nothing more is at hand; and
        capture a due snapshot or champion, unless the shard leaves.
        """
        if not self.pipeline.free:
            return
        now_s, processor = self.clock.monotonic(), self.processor
        passed = self.merge.ends_past(processor.positions) and not self.care.held
        group: bytes | None = None
        if processor.records or passed:
            due = self.blocked or eager or (now_s - self.batch_since_s) * 1000 >= self.longest_ms
            if not due or (group := self.deps.log.group()) is None:
                return
            if passed:
                processor.positions[:] = self.merge.ends  # so that lag and offsets are exact
        later = leaving or self.care.careful or bool(self.care.held)
        keeps = self.checkpoints.choose(now_s, more=group is not None, later=later)
        if group is not None:
            self.seal(group, self.checkpoints.pickle())
        elif keeps:
            self.capture_at_rest()
        elif eager and now_s - self.stats_at_s >= (STATS_EVERY_S if self.stats_due else IDLE_STATS_EVERY_S):
            self.send_statistics(now_s)

    def seal(self, group: bytes, settled: RefilledSets | None) -> None:
        """Close the batch and send it; what was pickled of it is taken."""
        processor, now_s = self.processor, self.clock.monotonic()
        if not processor.records:
            self.snapshotter.worked(
                0.0, 1
            )  # a batch all the same: without a snapshot of it no upgrade is allowed
        sealed = self.care.seal(settled)
        sealed.blobs.update(self.view_writer.slice(processor.core.state.entities))
        self.costs.lap("seal")
        self.checkpoints.capture()
        if now_s - self.stats_at_s >= STATS_EVERY_S:
            add_stats(self, sealed.commit, now_s)
        self.pipeline.send(sealed.commit, group, sealed)

    def send_statistics(self, now_s: float) -> bool:
        """Statistics in a transaction of their own, for want of a batch; False without a generation."""
        if (group := self.deps.log.group()) is None:
            return False
        commit = Commit([], [], None, list(self.processor.positions))
        add_stats(self, commit, now_s)
        self.runtime_alerts.log_alerts(commit)
        self.stats_due = False
        self.pipeline.send(commit, group, None)
        return True

    def finish(self, *, last_words: bool) -> bool:
        """Commit what is stepped, step nothing more, send the last statistics; True when done."""
        self.collect_commit()
        if self.care.announced is not None:
            self.advance()  # else it would count as an attempt that failed
        if not self.drained:
            self.submit(eager=True, leaving=True)
            return False
        if last_words and self.stats_due and self.send_statistics(self.clock.monotonic()):
            return False
        return self.view_writer.finish() & self.champion_publisher.finish()

    def close(self) -> None:
        """Stop reading and writing; waits for a commit in flight."""
        self.deps.log.stop(self.shard)
        try:
            self.pipeline.close(self.tuning.watchdog_s)
        except TimeoutError:
            log.warning("commit still hangs while the shard is taken away", shard=self.shard)
