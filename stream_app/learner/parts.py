"""The parts of a live shard, joined when its recovery is done."""

from __future__ import annotations

from typing import Any

from stream_app.learner.care import Care
from stream_app.learner.costs import Costs
from stream_app.learner.keeping import Keeping
from stream_app.learner.machine import Machine
from stream_app.learner.merge import Merge
from stream_app.learner.notices import Notices
from stream_app.learner.outside import Outside
from stream_app.learner.pace import Pace
from stream_app.learner.pipeline import Pipeline
from stream_app.learner.publication import Publication
from stream_app.learner.publisher import Publisher
from stream_app.learner.recovery import Recovered
from stream_app.learner.snapshots import Saver
from stream_app.learner.stats import definition_of
from stream_app.state.histogram import Histogram

FIRST_TURN = 100  # records, until it is known what one costs
STEP_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Parts:
    """What a recovered shard works with, as `Live` does."""

    def __init__(
        self, outside: Outside, shard: int, fingerprint: dict[str, Any], recovered: Recovered
    ) -> None:
        self.outside, self.shard = outside, shard
        self.clock, self.tuning = outside.clock, outside.tuning
        self.machine: Machine = recovered.machine
        self.replayed = recovered.replayed
        self.merge = Merge(self.machine.core.state.log_time_ms)
        self.care = Care(self.machine, self.tuning.batch_records, recovered.failures, outside.marks)
        self.pipeline = Pipeline(recovered.writer, outside.pool, outside.clock)
        view, stored = recovered.view, recovered.stored
        self.publisher = Publisher(
            view, outside.pool, outside.clock, outside.app.name, shard, self.machine.stamp, stored
        )
        self.saver = Saver(
            outside.app, shard, outside.open_store(shard), self.clock, fingerprint, recovered.journal_offset,
            recovered.snapshot_seq, outside.store_pool,
        )  # fmt: skip
        self.publication = Publication(
            outside.app, shard, outside.open_shelf(shard), outside.store_pool, self.clock, fingerprint,
            self.tuning.publish_s,
        )  # fmt: skip
        self.fences = (False, False)  # as the statistics had them
        self.definition = definition_of(fingerprint)
        self.paused: set[int] = set()
        self.batch_since_s = self.clock.monotonic()
        self.stats_at_s, self.stats_due, self.turn_records = 0.0, True, FIRST_TURN
        self.notices = Notices(outside.app.name, self.machine, self.clock.monotonic())
        self.pace = Pace(self.machine.core, self.clock)
        self.costs = Costs(self.clock)
        self.keeping = Keeping(self.machine, self.saver, self.publication, self.costs)
        self.step_seconds = Histogram(STEP_SECONDS)
        outside.log.start(shard, self.machine.positions)
