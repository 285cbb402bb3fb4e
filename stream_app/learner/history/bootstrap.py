"""What shards have learned of a history that came before their first event: files through the live step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from stream_app.application import Application
from stream_app.learner.history.hearing import FirstRefused, refusals
from stream_app.learner.history.lines import Storage
from stream_app.learner.history.machine import first_machine
from stream_app.learner.history.mini_batch import Row, Together
from topics.envelope import Record

BATCH: Final = 5_000  # records of a shard
TOGETHER: Final = 500  # records of a shard that are stepped at once
NO_INPUT: Final = -1


class ShardHistory:
    """One shard's machine. What it predicts was served to nobody and is let go; its receipts are kept."""

    def __init__(self, app: Application, shard: int, storage: Storage, mini_batch: int) -> None:
        self.processor = first_machine(app, shard, storage)
        self.together = Together(self.processor.core, mini_batch, storage.round_trip)
        self.waiting: list[Record] = []
        self.first_refused = FirstRefused(self.processor)
        self.receipts: dict[bytes | None, Record] = {}  # by key, the newest

    def take(self, record: Record | Row) -> None:
        """Step a record, together with others of its input; a row is learned with others.

        Raises:
            UsageError: a row cannot be.
        """
        if isinstance(record, Row):
            self.step()
            self.together.take(record)
            return
        self.together.learn()
        if self.waiting and (self.waiting[0].rank != record.rank or len(self.waiting) >= TOGETHER):
            self.step()
        self.waiting.append(record)

    def step(self) -> None:
        """Step what waits, and close the batch now and then."""
        if self.waiting:
            self.processor.apply([(self.waiting[0].rank, self.waiting)])
            self.waiting = []
        if self.processor.records >= BATCH:
            self.seal()

    def seal(self) -> None:
        """Close the batch; of what it wrote the receipts stay."""
        for send in self.processor.seal().commit.others:
            if send.topic == "models":
                self.receipts.pop(send.key, None)
                self.receipts[send.key] = Record(NO_INPUT, 0, send.time_ms or 0, send.key, send.value, None)

    def end(self) -> None:
        """Step and seal what is left."""
        self.together.learn()
        self.step()
        self.seal()

    def text(self) -> str:
        """What it has learned, in words."""
        counters = self.processor.core.state.counters
        text = f"a history of {counters.events:,} events; {counters.labels_learned:,} labels learned"
        if not self.together.learned:
            return text
        text += f", {self.together.learned:,} of them in mini-batches"
        slow = self.together.one_by_one
        return f"{text} ({', '.join(slow)}: one by one)" if slow else text

    def refusals(self) -> list[str]:
        """How many records were refused, and why the first of each kind was."""
        return refusals(self.processor.core.state.dead_by_reason, self.first_refused)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        state = self.processor.core.state
        return {
            "events": state.counters.events,
            "labels_learned": state.counters.labels_learned,
            "in_mini_batches": self.together.learned,
            "refused": dict(state.dead_by_reason),
        }


def learn_history(
    app: Application,
    records: Iterable[tuple[int, Record | Row]],
    storage: Storage,
    progress: Callable[[int], None] = lambda _done: None,
    mini_batch: int = 1,
) -> list[ShardHistory]:
    """Step records, each with its shard, in their order; give every shard as it is then. Rows among them are
    learned `mini_batch` at a time.

    Raises:
        UsageError: the definition, or a row, allows no mini-batches.
    """
    shards = [ShardHistory(app, shard, storage, mini_batch) for shard in range(app.shards)]
    for done, (shard, record) in enumerate(records, 1):
        shards[shard].take(record)
        if done % TOGETHER == 0:
            progress(done)
    for one in shards:
        one.end()
    return shards
