"""The parts of a live shard, joined when its recovery is done."""

from __future__ import annotations

from typing import Any

from stream_app.learner.batch.merge import Merge
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.care import Care
from stream_app.learner.checkpoints import Checkpoints
from stream_app.learner.costs import Costs
from stream_app.learner.dependencies import Dependencies
from stream_app.learner.latency_guard import LatencyGuard
from stream_app.learner.pipeline import Pipeline
from stream_app.learner.publish.champion_publisher import ChampionPublisher
from stream_app.learner.publish.view_writer import ViewWriter
from stream_app.learner.recovery.recover import Recovered
from stream_app.learner.recovery.snapshots import Snapshotter
from stream_app.learner.runtime_alerts import RuntimeAlerts
from stream_app.learner.stats import definition_of
from stream_app.state.histogram import Histogram

FIRST_TURN = 100  # records, until it is known what one costs
STEP_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class ShardParts:
    """What a recovered shard works with, as `ActiveShard` does."""

    def __init__(
        self, deps: Dependencies, shard: int, fingerprint: dict[str, Any], recovered: Recovered
    ) -> None:
        self.deps, self.shard = deps, shard
        self.clock, self.tuning = deps.clock, deps.tuning
        self.processor: BatchProcessor = recovered.processor
        self.replayed = recovered.replayed
        self.merge = Merge(self.processor.core.state.log_time_ms, self.processor.positions)
        self.care = Care(self.processor, self.tuning.batch_records, recovered.failures, deps.marks)
        self.pipeline = Pipeline(recovered.writer, deps.pool, deps.clock)
        view, stored = recovered.view, recovered.stored
        self.view_writer = ViewWriter(
            view, deps.pool, deps.clock, deps.app.name, shard, self.processor.view_stamp, stored
        )
        self.snapshotter = Snapshotter(
            deps.app,
            shard,
            deps.open_store(shard),
            self.clock,
            fingerprint,
            recovered.journal_offset,
            recovered.snapshot_seq,
            deps.store_pool,
        )
        self.champion_publisher = ChampionPublisher(
            deps.app,
            shard,
            deps.open_shelf(shard),
            deps.store_pool,
            self.clock,
            fingerprint,
            self.tuning.publish_s,
        )
        self.fences = (False, False)  # as the statistics had them
        self.definition = definition_of(fingerprint)
        self.paused: set[int] = set()
        self.batch_since_s = self.clock.monotonic()
        self.stats_at_s, self.stats_due, self.turn_records = 0.0, True, FIRST_TURN
        self.runtime_alerts = RuntimeAlerts(deps.app.name, self.processor, self.clock.monotonic())
        self.latency_guard = LatencyGuard(self.processor.core, self.clock)
        self.costs = Costs(self.clock)
        self.checkpoints = Checkpoints(self.processor, self.snapshotter, self.champion_publisher, self.costs)
        self.step_seconds = Histogram(STEP_SECONDS)
        deps.log.start(shard, self.processor.positions)
