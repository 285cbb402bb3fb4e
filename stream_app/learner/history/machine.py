"""A shard's machine before its first record, without servers."""

from __future__ import annotations

from stream_app.application import Application
from stream_app.flow.core import Core
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.lines import Storage
from stream_app.state.shard import ShardState
from topics.catalog import catalog


def first_machine(app: Application, shard: int, storage: Storage) -> BatchProcessor:
    """The machine that a learner has when a shard begins."""
    core = Core(app, ShardState(app, shard), storage.round_trip, storage.refill_sets)
    inputs = catalog(app.name, app.shards).inputs
    return BatchProcessor(core, inputs, epoch=0, seq=0, digest=FIRST_DIGEST, positions=[0, 0, 0])
