"""Alerts about the run itself: no record caused them, so no digest holds them and no replay repeats them."""

from __future__ import annotations

from concurrent.futures import Future
from hashlib import blake2b
from typing import Any

import orjson
import structlog

from stream_app.errors import Refused
from stream_app.learner.fitting import fitting
from stream_app.learner.machine import Machine
from stream_app.learner.outside import Outside
from stream_app.learner.pace import Pace
from stream_app.learner.publication import Publication
from stream_app.learner.publisher import Publisher
from stream_app.learner.snapshots import Saver
from stream_app.ports import Commit, Send
from topics.envelope import RANK_NAMES

WAIT_ALERT_S = 5.0  # that an input may hold a shard up
STALE_S = 30.0  # without the newest commits in the view, before somebody is told
# What a model raised may quote a record, and logs go where records may not.
QUOTING = {"challenger-failed", "champion-failed", "candidate-refused"}
log = structlog.get_logger()


def encode(report: dict[str, Any]) -> bytes:
    """JSON that fits, in which a score that is no number yet is null: a report may never stop its shard."""
    return fitting(report)


def alert(
    app: str, shard: int, cause: str, time_ms: int, kind: str, severity: str, message: str,
    evidence: dict[str, Any],
) -> Send:  # fmt: skip
    """The record of one alert; its id derives from what caused it."""
    alert_id = f"{app}/{shard}/{kind}/{cause}"
    value = {
        "v": 1, "alert_id": alert_id, "type": kind, "severity": severity, "shard": shard, "time_ms": time_ms,
        "message": message, "evidence": evidence, "runbook": f"docs/runbooks.md#{kind}",
    }  # fmt: skip
    return Send("alerts", alert_id.encode(), encode(value))


class Notices:
    """What a live shard has to tell; it waits for the transaction that carries the next statistics."""

    def __init__(self, app: str, machine: Machine, now_s: float) -> None:
        self.shown_at_s = now_s
        self.shown_stamp: str | None = None
        self.app, self.machine = app, machine
        self.waiting: list[Send] = []
        self.standing: set[str] = set()
        self.held_since_s: float | None = None

    def notice(self, kind: str, severity: str, message: str, **evidence: Any) -> None:
        """Add one, caused at the batch where the shard stands."""
        machine = self.machine
        state = machine.core.state
        self.waiting.append(
            alert(self.app, state.shard, machine.stamp, state.log_time_ms, kind, severity, message, evidence)
        )

    def begins(self, kind: str, stands: bool) -> bool:
        """Whether a condition has come to be: it is told once, and again only after it was over."""
        new = stands and kind not in self.standing
        if stands:
            self.standing.add(kind)
        else:
            self.standing.discard(kind)
        return new

    def held_up(self, inputs: list[int], now_s: float) -> bool:
        """Tell that inputs, neither silent nor at their end, hold the shard up; whether it is told now."""
        if not inputs:
            self.held_since_s = None
        elif self.held_since_s is None:
            self.held_since_s = now_s
        elif now_s - self.held_since_s > WAIT_ALERT_S:
            self.held_since_s = now_s + 60 * WAIT_ALERT_S  # told once, again after five minutes
            named = [RANK_NAMES[rank] for rank in inputs]
            names, shard = ", ".join(named), self.machine.core.state.shard
            log.warning("merge waits", shard=shard, inputs=names, seconds=WAIT_ALERT_S)
            text = f"{names} gave neither a record nor an end of partition for {WAIT_ALERT_S:.0f} s"
            self.notice("input-silent", "critical", text, inputs=named)
            return True
        return False

    def saved(self, saver: Saver) -> None:
        """After an attempt at a snapshot: tell that it failed, and that snapshots break their bound."""
        schedule = saver.schedule
        if self.begins("snapshot-failed", saver.error is not None):
            text = f"no snapshot could be saved, a restart replays from the one before: {saver.error}"
            self.notice("snapshot-failed", "warning", text, error=saver.error, newest_seq=saver.seq)
        if self.begins("snapshot-too-dear", schedule.breached):
            text = (
                f"pickling a snapshot held the shard up for {schedule.pickling_s:.2f} s; at max_recovery "
                f"{schedule.max_recovery_s:g} s max_cost allows {schedule.allowed_s:.2f} s"
            )
            self.notice(
                "snapshot-too-dear", "warning", text, cost_s=schedule.pickling_s,
                allowed_s=schedule.allowed_s, bytes=saver.size_bytes,
            )  # fmt: skip

    def paced(self, pace: Pace) -> list[Send]:
        """Order the end of candidates that are too slow, and tell."""
        orders = pace.orders()
        for slot, times, _ in orders:
            text = f"candidate {slot.name} v{slot.version} answers {times:.0f} times slower than the champion"
            self.notice("candidate-slow", "warning", text, version=slot.version, slowdown=times)
        return [send for _, _, send in orders]

    def shown(self, publisher: Publisher, now_s: float) -> None:
        """Tell when the view has stood still behind the commits for long: one that follows may be behind."""
        if publisher.caught_up or self.shown_stamp not in (None, publisher.stored):
            self.shown_at_s = now_s
        self.shown_stamp = publisher.stored
        behind_s = now_s - self.shown_at_s
        if self.begins("view-stale", behind_s > STALE_S and not publisher.fenced):
            text = f"Redis has not shown the newest commits for {behind_s:.0f} s"
            self.notice("view-stale", "critical", text, shows=publisher.stored, behind_s=behind_s)

    def fenced(self, publisher: Publisher, publication: Publication) -> None:
        """Raise an alert where Redis shows something newer than this shard has: predictors stay behind."""
        both = {"features of entities": publisher.fenced, "published champion": publication.fenced}
        named = [name for name, stands in both.items() if stands]
        if self.begins("view-fenced", bool(named)):
            text = (
                f"Redis shows a newer stamp than {self.machine.stamp}, so this learner does not write its "
                f"{' and '.join(named)}; if no other learner runs, delete the keys {publisher.keys}"
            )
            self.notice("view-fenced", "critical", text, keys=publisher.keys, what=named)

    def written(self, commit: Commit) -> None:
        """Into the log as well, what a transaction raised: whoever watches a terminal reads no topic."""
        for send in commit.others:
            if send.topic != "alerts" or send.value is None:
                continue
            told = orjson.loads(send.value)
            if told["severity"] != "info" or told["type"] == "swap":
                write = getattr(log, told["severity"])
                quotes = told["type"] in QUOTING
                message = f"a model raised: see {told['alert_id']}" if quotes else told["message"]
                write("alert", shard=told["shard"], type=told["type"], message=message)

    def take(self) -> list[Send]:
        """All that wait, once."""
        taken, self.waiting = self.waiting, []
        return taken


def tell_halt(outside: Outside, shard: int, refusal: Refused) -> Future[None]:
    """Write one alert about a halt on the helper pool, as well as it goes; it never raises.

    It fences whoever wrote for the shard. That was this process; should another own the shard by now, that
    owner recovers once more.
    """
    evidence = {"reason": refusal.message, "remedy": refusal.remedy}
    cause = blake2b(refusal.message.encode(), digest_size=8).hexdigest()
    send = alert(
        outside.app.name, shard, cause, outside.clock.now_ms(), "shard-halted", "critical", str(refusal),
        evidence,
    )  # fmt: skip

    def write() -> None:
        try:
            writer = outside.open_writer(shard)
            try:
                writer.fence()
                writer.commit(Commit([], [send], None, []), None)
            finally:
                writer.close()
        except Exception as error:  # whatever it is: it must not mask the halt, which stands in the log
            log.warning("the alert about the halt could not be written", shard=shard, error=str(error))

    return outside.pool.submit(write)
