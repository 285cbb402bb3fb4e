"""What a live shard reports of itself: statistics and alerts beside a batch, and one last line in the log."""

from __future__ import annotations

import structlog

from stream_app.learner.shard_parts import ShardParts
from stream_app.learner.stats import shard_stats
from stream_app.ports import Commit, Send
from topics.fitting import encode_within
from topics.records import value_of

log = structlog.get_logger()


def add_stats(live: ShardParts, commit: Commit, now_s: float) -> None:
    """Add the statistics of now to a transaction, and the alerts that wait."""
    live.stats_at_s = now_s
    stats = shard_stats(
        live.processor,
        live.merge,
        live.view_writer,
        live.snapshotter,
        time_ms=live.clock.now_ms(),
        now_s=now_s,
        owner=live.tuning.owner,
        replayed=live.replayed,
        cost_s={**live.costs.seconds, "commit": live.pipeline.busy_s},
        ends=live.deps.log.ends(live.shard),
        seconds={
            "step_seconds": live.step_seconds,
            "transaction_seconds": live.pipeline.seconds,
            "snapshot_seconds": live.snapshotter.seconds,
        },
        definition=live.definition,
        importance=live.champion_publisher.importance.ranking,
    )
    live.deps.telemetry.stats(live.shard, stats)
    commit.others.append(Send("stats", str(live.shard).encode(), encode_within(value_of(stats))))
    commit.others += live.runtime_alerts.order_slow_candidates_dropped(live.latency_guard)
    live.runtime_alerts.report_stale_view(live.view_writer, now_s)
    live.runtime_alerts.report_fenced_view(live.view_writer, live.champion_publisher)
    live.runtime_alerts.report_importance(live.champion_publisher.importance)
    commit.others += live.runtime_alerts.drain()


def sum_up(live: ShardParts) -> None:
    """The last line of the log about a shard that rests: what became of all its records so far."""
    counters = live.processor.core.state.counters
    dead = counters.dead_events + counters.dead_labels + counters.dead_commands
    log.info(
        "so far",
        shard=live.shard,
        predictions=counters.predictions,
        learned=counters.labels_learned,
        dead_letters=dead,
    )
