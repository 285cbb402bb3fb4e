"""Alerts about the run itself: no record caused them, so no digest holds them and no replay repeats them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import structlog

from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.latency_guard import LatencyGuard
from stream_app.learner.process_alerts import alert
from stream_app.learner.publish.champion_publisher import ChampionPublisher
from stream_app.learner.publish.view_writer import ViewWriter
from stream_app.learner.recovery.snapshots import Snapshotter
from stream_app.models.explanations.importance import Importance, Moved
from stream_app.ports import Commit, Send
from topics.batch_id import without_digest
from topics.envelope import RANK_NAMES

WAIT_ALERT_S = 5.0  # that an input may hold a shard up, before an alert
STALE_S = 30.0  # without the newest commits in the view, before an alert is raised
# What a model raised may quote a record, and logs go where records may not.
QUOTING = {"challenger-failed", "champion-failed", "candidate-refused"}
log = structlog.get_logger()


class RuntimeAlerts:
    """Alerts of a live shard; they wait for the transaction that carries the next statistics."""

    def __init__(self, app: str, processor: BatchProcessor, now_s: float) -> None:
        self.shown_at_s = now_s
        self.shown_stamp: str | None = None
        self.app, self.processor = app, processor
        self.waiting: list[Send] = []
        self.active: set[str] = set()
        self.held_since_s: float | None = None
        self.moved: Moved | None = None  # the one that was reported last

    def notice(self, kind: str, message: str, **evidence: Any) -> None:
        """Queue an alert caused at the newest batch."""
        processor = self.processor
        state = processor.core.state
        self.waiting.append(
            alert(self.app, state.shard, processor.stamp, state.log_time_ms, kind, message, evidence)
        )

    def begins(self, kind: str, holds: bool) -> bool:
        """Whether a condition starts to hold: it is reported once, and again only after it has ended."""
        new = holds and kind not in self.active
        if holds:
            self.active.add(kind)
        else:
            self.active.discard(kind)
        return new

    def report_silent_inputs(self, inputs: list[int], now_s: float) -> bool:
        """Report inputs that hold the shard up, neither silent nor at their end; True if reported now."""
        if not inputs:
            self.held_since_s = None
        elif self.held_since_s is None:
            self.held_since_s = now_s
        elif now_s - self.held_since_s > WAIT_ALERT_S:
            self.held_since_s = now_s + 60 * WAIT_ALERT_S  # reported once, again after five minutes
            named = [RANK_NAMES[rank] for rank in inputs]
            names, shard = ", ".join(named), self.processor.core.state.shard
            log.warning("merge waits", shard=shard, inputs=names, seconds=WAIT_ALERT_S)
            text = f"{names} gave neither a record nor an end of partition for {WAIT_ALERT_S:.0f} s"
            self.notice("input-silent", text, inputs=named)
            return True
        return False

    def report_snapshots(self, snapshotter: Snapshotter) -> None:
        """After an attempt at a snapshot: report that it failed, or that snapshots break their bound."""
        policy = snapshotter.policy
        if self.begins("snapshot-failed", snapshotter.error is not None):
            text = f"no snapshot could be saved, a restart replays from the one before: {snapshotter.error}"
            self.notice("snapshot-failed", text, error=snapshotter.error, newest_seq=snapshotter.seq)
        if self.begins("snapshot-too-dear", policy.breached):
            text = (
                f"pickling a snapshot held the shard up for {policy.pickling_s:.2f} s; at max_recovery "
                f"{policy.max_recovery_s:g} s max_cost allows {policy.allowed_s:.2f} s"
            )
            self.notice(
                "snapshot-too-dear",
                text,
                cost_s=policy.pickling_s,
                allowed_s=policy.allowed_s,
                bytes=snapshotter.size_bytes,
            )

    def order_slow_candidates_dropped(self, latency_guard: LatencyGuard) -> list[Send]:
        """Order the end of candidates that are too slow, with an alert for each."""
        orders = latency_guard.orders()
        for slot, times, why, _ in orders:
            text = f"candidate {slot.name} v{slot.version} {why}"
            self.notice("candidate-slow", text, version=slot.version, slowdown=times)
        return [send for *_, send in orders]

    def report_stale_view(self, view_writer: ViewWriter, now_s: float) -> None:
        """Report a view that has not moved for long, though commits have; it may lag while it moves."""
        if view_writer.caught_up or self.shown_stamp not in (None, view_writer.stored):
            self.shown_at_s = now_s
        self.shown_stamp = view_writer.stored
        behind_s = now_s - self.shown_at_s
        if self.begins("view-stale", behind_s > STALE_S and not view_writer.fenced):
            text = f"Redis has not shown the newest commits for {behind_s:.0f} s"
            self.notice("view-stale", text, shows=without_digest(view_writer.stored), behind_s=behind_s)

    def report_fenced_view(self, view_writer: ViewWriter, champion_publisher: ChampionPublisher) -> None:
        """Raise an alert where Redis shows something newer than this shard has: predictors stay behind."""
        both = {"features of entities": view_writer.fenced, "published champion": champion_publisher.fenced}
        named = [name for name, is_fenced in both.items() if is_fenced]
        if self.begins("view-fenced", bool(named)):
            text = (
                f"Redis shows a newer stamp than {self.processor.stamp}, so this learner does not write its "
                f"{' and '.join(named)}; if no other learner runs, delete the keys {view_writer.keys}"
            )
            self.notice("view-fenced", text, keys=view_writer.keys, what=named)

    def report_importance(self, importance: Importance) -> None:
        """Report that answers rest on other features than they did."""
        found, before = importance.moved, self.moved
        self.moved = found
        if found is None or found is before:
            return
        parts = [f"{name} {after:.0%} ({share:.0%} before)" for name, share, after in found.features[:3]]
        text = f"answers rest on other features than before; of all that features do: {', '.join(parts)}"
        self.notice("importance-moved", text, distance=found.distance, features=found.features)

    def topic_settings(self, unsafe: Sequence[str]) -> None:
        """Raise an alert when settings of topics were changed to what endangers a promise."""
        if self.begins("topic-settings", bool(unsafe)):
            self.notice("topic-settings", "; ".join(unsafe), topics=list(unsafe))

    def log_alerts(self, commit: Commit) -> None:
        """Log a transaction's alerts: a person at a terminal reads no topic."""
        for send in commit.others:
            if send.topic != "alerts" or send.value is None:
                continue
            raised = orjson.loads(send.value)
            if raised["severity"] != "info" or raised["type"] == "swap":
                write = getattr(log, raised["severity"])
                quotes = raised["type"] in QUOTING
                message = f"a model raised: see {raised['alert_id']}" if quotes else raised["message"]
                write("alert", shard=raised["shard"], type=raised["type"], message=message)

    def drain(self) -> list[Send]:
        """Take all alerts that wait."""
        taken, self.waiting = self.waiting, []
        return taken
