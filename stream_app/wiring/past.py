"""What every command needs that replays an application's past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stream_app.application import Application
from stream_app.definition.admission import sample_run
from stream_app.ports import ReplaySource, SnapshotStore
from stream_app.settings import Settings
from stream_app.wiring import learner
from stream_app.wiring.topics import catalog_for
from topics.life import life_of


class Past(NamedTuple):
    """Who may replay it, and its doors by shard; `topics` are the inputs by rank."""

    fingerprint: dict[str, Any]
    open_source: Callable[[int], ReplaySource]
    open_store: Callable[[int], SnapshotStore]
    topics: tuple[str, ...]


def past_of(app: Application, settings: Settings) -> Past:
    """Ask the broker whose life it is, and give the doors to it.

    Raises:
        Refused: a topic is missing, or no place or key of snapshots is set.
    """
    fingerprint = learner.fingerprint_for(app, settings, sample_run(app))
    return Past(
        fingerprint,
        learner.source_opener(app, settings),
        learner.store_opener(app, settings, life_of(fingerprint["topics"])),
        learner.input_topics(catalog_for(app, settings)),
    )
