"""Every event as it was seen, served and labelled, by the live step: point-in-time correct."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from stream_app.errors import Refused
from stream_app.flow.observer import Observer
from stream_app.flow.served import PredictionMade
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.history.as_of import Moment, start_before
from stream_app.learner.history.hearing import hear
from stream_app.learner.history.past import Past
from stream_app.learner.history.verify import drain, find_starts
from stream_app.learner.recovery.replay import replay
from stream_app.state.pending import PendingRow
from topics.envelope import EVENT
from topics.life import life_of

LABEL, TIMEOUT = "label", "timeout"


class SeenRow(msgspec.Struct):
    """One event: the row that the models saw, the prediction as it was served, and its label.

    `labelled` says where the label comes from: label, or timeout (the default one); None: none came within
    the horizon. `learned` and `weights` are None of a prediction that was served before the replay begins.
    """

    event_id: str
    key: str
    time_ms: int
    shard: int
    offset: int
    prediction: Any
    probabilities: dict[Any, float] | None
    model: str | None
    version: int | None
    learned: int | None
    weights: dict[str, float] | None
    row: dict[str, Any]
    label: Any = None
    labelled: str | None = None


class Mark(msgspec.Struct):
    """How far a shard was exported: through batch `seq` of an epoch, whose events end before `position`.

    The event at offset `oldest` was the first whose label was awaited then. `life` is that of the topics.
    """

    epoch: int
    seq: int
    position: int
    oldest: int
    life: str
    rows: int = 0
    parts: int = 0


class Ended(NamedTuple):
    """How many rows still wait for their labels, and the batches that the replay does not reach."""

    waiting: int
    left_out: range


class Recorder(Observer):
    """Collects the rows of a machine: `open` wait for their labels, by event offset; `done` are complete."""

    def __init__(self, processor: BatchProcessor) -> None:
        self.core = processor.core
        self.shard = self.core.state.shard
        self.open = {row.offset: waiting(self.core.state, name, row) for name, row in self.pending()}
        self.rows: dict[int, dict[str, Any]] = {}  # of the batch in hand, by offset
        self.made: list[PredictionMade] = []
        self.ended: list[tuple[int, Any, str | None]] = []
        self.done: list[SeenRow] = []
        hear(processor, PredictionMade, self.made.append)
        self.core.observer = self

    def pending(self) -> list[tuple[str, PendingRow]]:
        """The rows that wait, by event id."""
        return list(self.core.state.pending.items.items())

    def asked(self, event_id: str, row: dict[str, Any]) -> None:  # noqa: ARG002
        """Keep the row as the models see it."""
        self.rows[self.core.out.record.offset] = dict(row)

    def labelled(self, row: PendingRow, label: Any, *, expired: bool) -> None:
        """Note the label."""
        self.ended.append((row.offset, label, TIMEOUT if expired else LABEL))

    def unlabelled(self, row: PendingRow) -> None:
        """Note that none comes."""
        self.ended.append((row.offset, None, None))

    def close(self) -> None:
        """Sum up a batch: predictions first, then the labels."""
        for made in self.made:
            found = SeenRow(
                made.event_id,
                made.key,
                made.time_ms,
                self.shard,
                made.offset,
                made.prediction,
                made.probabilities,
                made.model,
                made.version,
                made.learned,
                made.weights,
                self.rows.pop(made.offset),
            )
            if self.core.has_labels:
                self.open[made.offset] = found
            else:
                self.done.append(found)
        for offset, label, labelled in self.ended:
            row = self.open.pop(offset)
            row.label, row.labelled = label, labelled
            self.done.append(row)
        self.made.clear()
        self.ended.clear()


def waiting(state: Any, event_id: str, row: PendingRow) -> SeenRow:
    """A row that was served before the replay begins."""
    version = next(iter(row.served), None)
    slot = None if version is None else state.slot_of(version)
    prediction, probabilities = row.champion_answer or (None, None)
    return SeenRow(
        event_id,
        row.key,
        row.time_ms,
        state.shard,
        row.offset,
        prediction,
        probabilities,
        None if slot is None else slot.name,
        None if slot is None else version,
        None,
        None,
        dict(row.row),
    )


def replay_rows(past: Past, since: Mark | None, sink: Callable[[list[SeenRow], Mark, bool], None]) -> Ended:
    """Give every complete row, from the earliest retained point or a mark on.

    `sink` gets all that are complete at the end of each batch and whether that was the last one; it empties
    the list of what it has taken.

    Raises:
        Refused: what follows the mark is no longer retained.
        Halted: the replay differs from the journal.
    """
    life = life_of(past.fingerprint["topics"])
    processor, offset = start(past, since)
    first = 1 if since is None else since.seq + 1
    left_out = range(first, max(first, processor.seq + 1))
    recorder = Recorder(processor)

    def give(last: bool) -> None:
        oldest = min(recorder.open, default=processor.positions[EVENT])
        mark = Mark(processor.epoch, processor.seq, processor.positions[EVENT], oldest, life)
        sink(recorder.done, mark, last)

    def on_batch(_sealed: SealedBatch, _at: int) -> None:
        recorder.close()
        if since is not None and processor.seq <= since.seq:
            recorder.done.clear()  # written by the run before
        else:
            give(False)

    drain(replay(processor, past.source, offset + 1, past.clock, on_batch))
    give(True)
    return Ended(len(recorder.open), left_out)


def start(past: Past, since: Mark | None) -> tuple[BatchProcessor, int]:
    """Where to begin: before the oldest row that waited at the mark, else at the mark, else where the newest
    epoch begins.

    Raises:
        Refused: the topics were created again since the mark, or nothing behind it is retained.
    """
    if since is None:
        return find_starts(past)[0][1:]
    if since.life != life_of(past.fingerprint["topics"]):
        raise Refused(
            f"shard {past.shard}: its topics were created again since the export",
            "Export into another folder",
        )
    for position in (since.oldest, since.position):
        try:
            return start_before(past, Moment(offset=position), since.seq)
        except Refused:
            continue
    _, processor, offset = find_starts(past)[0]
    if processor.epoch > since.epoch:  # an earlier definition's batches cannot be replayed
        return processor, offset
    raise Refused(
        f"shard {past.shard}: batches behind {since.epoch}:{since.seq}, where the export ends, are gone",
        "Export into another folder; more often, or with snapshots and inputs retained for longer",
    )
