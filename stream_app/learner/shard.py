"""One owned shard.

recovering ──done──▶ live ──transaction failed──▶ failed ──back-off──▶ recovering
    │                 │
    └── contradiction ┴──▶ halted ◀── topic deleted ── failed    (revoked or lost from any phase: dropped)
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from enum import Enum
from typing import Any

import structlog

from stream_app.errors import Refused, ShardFailed, Unreachable
from stream_app.learner.active_shard import ActiveShard
from stream_app.learner.care import Failures
from stream_app.learner.dependencies import Dependencies
from stream_app.learner.logs import placed
from stream_app.learner.process_alerts import write_halt_alert
from stream_app.learner.recovery.recover import Recovered, recover
from stream_app.learner.step_marks import RESTING, STEPPING

RETRY_FIRST_S = 0.5
RETRY_LAST_S = 30.0
HEALTHY_AFTER_S = 30.0  # a shard that lived this long starts the back-off again, or that committed
log = structlog.get_logger()


class Phase(Enum):
    """The phase of an owned shard."""

    RECOVERING = "recovering"
    LIVE = "live"
    FAILED = "failed"
    HALTED = "halted"
    DROPPED = "dropped"


LEGAL = {
    Phase.RECOVERING: {Phase.LIVE, Phase.FAILED, Phase.HALTED, Phase.DROPPED},
    Phase.LIVE: {Phase.FAILED, Phase.HALTED, Phase.DROPPED},
    Phase.FAILED: {Phase.RECOVERING, Phase.HALTED, Phase.DROPPED},
    Phase.HALTED: {Phase.DROPPED},
    Phase.DROPPED: set(),
}


class Shard:
    """The phases around a recovery and the `live` part that it gives; `refusal` says why it halted."""

    def __init__(self, deps: Dependencies, number: int, fingerprint: dict[str, Any]) -> None:
        self.deps, self.number, self.fingerprint = deps, number, fingerprint
        self.phase = Phase.RECOVERING
        deps.telemetry.phase(number, self.phase.value)
        self.live: ActiveShard | None = None
        self.refusal: Refused | None = None
        self.halt_alert: Future[None] | None = None  # the write of the alert about the halt
        self.recovery: Generator[bool, None, Recovered] = recover(deps, number, fingerprint)
        self.live_since_s = 0.0
        self.retry_at_s = 0.0
        self.retry_s = RETRY_FIRST_S
        self.failed_at = ""  # the newest committed batch, by its stamp, when it failed last
        before = deps.marks.claim(number)
        self.failures = Failures(blamed=before == STEPPING, at_rest=before == RESTING)

    def move(self, phase: Phase) -> None:
        """Change phase, along the drawing above only."""
        if phase not in LEGAL[self.phase]:
            raise RuntimeError(f"shard {self.number}: {self.phase.value} cannot become {phase.value}")
        log.info("shard", shard=self.number, was=self.phase.value, now=phase.value)
        self.phase = phase
        self.deps.telemetry.phase(self.number, phase.value)

    def where(self) -> dict[str, Any]:
        """Give the fields of log lines; `model` is the version that serves."""
        if self.live is None:
            return {"shard": self.number}
        processor = self.live.processor
        model = processor.core.state.champion_version
        return {"shard": self.number, "epoch": processor.epoch, "seq": processor.seq, "model": model}

    @placed
    def turn(self) -> bool:
        """Do what the phase requires; True if there is more to do right away."""
        try:
            if self.live is not None:
                return self.live.turn()
            if self.phase is Phase.FAILED and self.deps.clock.monotonic() >= self.retry_at_s:
                self.move(Phase.RECOVERING)
                self.recovery = recover(self.deps, self.number, self.fingerprint)
            return self.recover() if self.phase is Phase.RECOVERING else False
        except Unreachable as away:
            self.fail(away)
        except Refused as refusal:
            self.halt(refusal)
        except Exception as error:
            self.fail(error)
        return True

    def recover(self) -> bool:
        """Run one slice of the recovery; at its end the inputs are read from the journal's positions on."""
        try:
            return next(self.recovery)
        except StopIteration as done:
            recovered: Recovered = done.value
            recovered.failures = self.failures
        try:
            self.live = ActiveShard(self.deps, self.number, self.fingerprint, recovered)
        except BaseException:
            recovered.writer.close()
            raise
        self.live_since_s = self.deps.clock.monotonic()
        self.move(Phase.LIVE)
        log.info(
            "shard live", shard=self.number, replayed=recovered.replayed, snapshot=recovered.snapshot_seq
        )
        if self.live.care.careful:
            log.warning("one record at a time", shard=self.number, suspects=self.live.care.suspects)
        return True

    @placed
    def finish(self, *, last_words: bool) -> bool:
        """Bring a live shard to rest; True once nothing is left to commit or to report."""
        if self.live is None:
            return self.halt_alert is None or self.halt_alert.done()
        try:
            return self.live.finish(last_words=last_words)
        except Exception as error:
            self.fail(error)
        return True

    def hangs(self, now_s: float) -> bool:
        """Whether its commit is past the watchdog's time; to be asked once a turn."""
        return self.live is not None and self.live.pipeline.hangs(now_s, self.deps.tuning.watchdog_s)

    @placed
    def halt(self, refusal: Refused) -> None:
        """Stop for good: to go on would break a promise."""
        self.refusal = refusal
        self.close()
        self.move(Phase.HALTED)
        log.error("shard halted", shard=self.number, why=str(refusal))
        self.halt_alert = write_halt_alert(self.deps, self.number, refusal)

    def fail(self, error: Exception) -> None:
        """Crash-only: whatever this shard held in memory is void; recover it from the log after a pause."""
        expected = isinstance(error, ShardFailed | Unreachable)
        log.error("shard failed", shard=self.number, error=str(error), exc_info=None if expected else error)
        now_s = self.deps.clock.monotonic()
        if self.live is not None:
            # The text of an unexpected exception may quote a record.
            self.failures.note(self.live.care, str(error) if expected else type(error).__name__)
        if self.live is not None:
            stamp = self.live.care.stamp
            if stamp != self.failed_at or now_s - self.live_since_s > HEALTHY_AFTER_S:
                self.retry_s = RETRY_FIRST_S
            self.failed_at = stamp
        self.close()
        self.retry_at_s = now_s + self.retry_s
        self.retry_s = min(RETRY_LAST_S, self.retry_s * 2)
        self.move(Phase.FAILED)

    @placed
    def drop(self) -> None:
        """Revoked or lost: wait for the helper's commit, then forget everything."""
        self.close()
        self.move(Phase.DROPPED)

    def close(self) -> None:
        """Let go of clients and memory."""
        if self.live is not None:
            self.live.close()
            self.live = None
        self.recovery.close()
