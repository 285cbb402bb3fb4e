"""What is kept where a batch is sealed: its snapshot and its publication, where they are due (ADR 19).

    pickled ──▶ the sets that were found are laid out ──▶ the batch is sealed and says so ──▶ taken

From there on the live sets are like those of whatever is loaded. A replay does the same where the journal
says so; in between nothing is stepped.
"""

from __future__ import annotations

from typing import Any

from stream_app.adapters.set_order import lay_out
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.costs import Costs
from stream_app.learner.publish.champion_publisher import ChampionPublisher
from stream_app.learner.recovery.snapshots import TOO_LONG_TO_LEAVE_S, Snapshotter
from topics.journal import RefilledSets


class Checkpoints:
    """`snapshot` and `champion`: what is kept of the batch that is sealed next; chosen, pickled, taken."""

    def __init__(
        self,
        processor: BatchProcessor,
        snapshotter: Snapshotter,
        champion_publisher: ChampionPublisher,
        costs: Costs,
    ) -> None:
        self.processor, self.snapshotter, self.champion_publisher, self.costs = (
            processor,
            snapshotter,
            champion_publisher,
            costs,
        )
        self.snapshot = self.champion = False

    def choose(self, now_s: float, *, more: bool, later: bool) -> bool:
        """Choose what is due; nothing where that is to wait until `later`. `more`: the batch has records."""
        self.snapshot = not later and self.snapshotter.due(now_s)
        self.champion = not later and self.champion_publisher.due(self.processor, now_s, more=more)
        return self.snapshot or self.champion

    def choose_last(self) -> bool:
        """Choose what a shard leaves behind, as far as that is cheap. Both at once: a snapshot that is not of
        the journal's end allows no upgrade.
        """
        self.snapshot, cheap = self.snapshotter.cheap, self.snapshotter.policy.cost_s <= TOO_LONG_TO_LEAVE_S
        self.champion = cheap and self.champion_publisher.behind(self.processor, more=self.snapshot)
        return self.snapshot or self.champion

    def pickle(self) -> RefilledSets | None:
        """Pickle, and lay out the sets; what the record of the batch must say, None where none was found."""
        settled: RefilledSets | None = None
        found: dict[int, Any] = {}
        if self.champion:
            found.update(self.champion_publisher.pickle(self.processor))
            which: RefilledSets = "champion" if self.processor.core.blend is None else "models"
            settled = which if found else None
            self.costs.lap("publish")
        if self.snapshot:
            sets = self.snapshotter.pickle(self.processor)
            found.update(sets)
            settled = "models" if sets else settled
            self.costs.lap("snapshot")
        lay_out(found)
        return settled

    def capture(self) -> None:
        """Take what was pickled; the machine is at the sealed batch, and nothing was stepped since."""
        if self.champion:
            self.champion_publisher.capture(self.processor)
            self.costs.lap("publish")
        if self.snapshot:
            self.snapshotter.capture(self.processor)
            self.costs.lap("snapshot")

    def committed(self, journal_offset: int) -> None:
        """Write the snapshot on a helper, now that its batch is in the journal."""
        self.champion_publisher.committed()
        self.costs.lap("seal")
        self.snapshotter.committed(journal_offset)
        self.costs.lap("snapshot")
