"""One shard's past: what every replay of it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stream_app.application import Application
from stream_app.learner.batch.processor import SealedBatch
from stream_app.ports import Clock, ReplaySource, SnapshotStore


class Past(NamedTuple):
    """What is retained of a shard, and the definition that replays it.

    `source` reads its journal and inputs, `store` its snapshots. `fingerprint` is that of this process, and
    `topics` are the inputs by rank. `progress` gets the number of each replayed batch and, in words, what
    else was counted; empty: nothing.
    """

    app: Application
    shard: int
    source: ReplaySource
    store: SnapshotStore
    clock: Clock
    fingerprint: dict[str, Any]
    topics: tuple[str, ...]
    progress: Callable[[int, str], None] = lambda _seq, _counted: None

    def on_batch(self, sealed: SealedBatch, _offset: int) -> None:
        """Report a batch where nothing else was counted."""
        self.progress(sealed.seq, "")
