"""What every command needs that replays an application's past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from stream_app.adapters.clock import SystemClock
from stream_app.application import Application
from stream_app.definition.admission import sample_run
from stream_app.learner.history.past import Past
from stream_app.ports import ReplaySource, SnapshotStore
from stream_app.settings import Settings
from stream_app.wiring import learner
from stream_app.wiring.topics import catalog_for
from topics.life import life_of


class PastOpener(NamedTuple):
    """Opens the past of an application's shards; `topics` are the inputs by rank."""

    app: Application
    fingerprint: dict[str, Any]
    open_source: Callable[[int], ReplaySource]
    open_store: Callable[[int], SnapshotStore]
    topics: tuple[str, ...]

    @contextmanager
    def open(self, shard: int) -> Iterator[Past]:
        """Open one shard's past; its source is closed at the end."""
        with closing(self.open_source(shard)) as source:
            store = self.open_store(shard)
            yield Past(self.app, shard, source, store, SystemClock(), self.fingerprint, self.topics)


def past_opener(app: Application, settings: Settings) -> PastOpener:
    """Ask the broker whose life it is, and give what opens it.

    Raises:
        Refused: a topic is missing, or no place or key of snapshots is set.
    """
    fingerprint = learner.fingerprint_for(app, settings, sample_run(app))
    return PastOpener(
        app,
        fingerprint,
        learner.source_opener(app, settings),
        learner.store_opener(app, settings, life_of(fingerprint["topics"])),
        learner.input_topics(catalog_for(app, settings)),
    )
