"""A slot learns again what the log retains, by the live step, before its epoch opens."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

from stream_app.application import Application
from stream_app.flow.core import Core
from stream_app.learner.batch import journal
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.past import Past
from stream_app.learner.history.relearn import relearn
from stream_app.learner.history.starts import log_start
from stream_app.learner.history.tail import Tail
from stream_app.learner.recovery.replay import WAITING
from stream_app.ports import ReplaySource
from stream_app.state.shard import ShardState
from topics.journal import BatchRecord

ALL = None  # in place of a duration: everything that is retained


def learn_again(
    past: Past, state: ShardState, slots: Mapping[str, int | None]
) -> Generator[bool, None, list[str]]:
    """Give fresh slots of a state the models that the log makes of them; `slots` by name, with the ms of log
    time that they learn (None: all of it).

    The batches go through the live step under the definition as it is now, in a state of their own: features
    of entities, joined labels and default labels come out as they would have. There, nothing swaps. Gives
    what could not be replayed, in words.
    """
    past = past._replace(app=calm(past.app))
    source, store = past.source, past.store
    lost: list[str] = []
    for duration_ms in dict.fromkeys(slots.values()):
        names = [name for name, wanted in slots.items() if wanted == duration_ms]
        start = yield from log_start(past)
        if start is None:
            continue
        if duration_ms is not None:
            yield from begin_at(source, start.tail, state.log_time_ms - duration_ms)
        learned = start.state
        processor = BatchProcessor(
            Core(past.app, learned, store.round_trip, store.refill_sets),
            past.topics,
            epoch=start.tail.epoch,
            seq=start.tail.seq,
            digest=start.tail.digest,
            positions=start.tail.positions,
        )
        lost += yield from relearn(processor, source, start.tail, [])
        made = {slot.name: slot for slot in learned.slots}
        for name in names:
            ours, theirs = next(slot for slot in state.slots if slot.origin == name), made[name]
            ours.model, ours.learned, ours.failed = theirs.model, theirs.learned, theirs.failed
            batches = f"batches {start.tail.replayable_seq} to {start.tail.seq}"
            state.untold[ours.version] = f"upgrade: learned again from the log, {batches}"
    return lost


def calm(app: Application) -> Application:
    """The definition, but nothing swaps or is blended: a slot is what it is declared to be."""
    return replace(app, swap=replace(app.swap, policy="never"), serve="champion")


def begin_at(source: ReplaySource, tail: Tail, since_ms: int) -> Generator[bool, None, None]:
    """Move where a replay begins to the first batch that reaches this log time; to none where none does."""
    if tail.replayable_offset < 0:
        return
    entries = source.journal(tail.replayable_offset)
    tail.replayable_offset = -1
    for entry in entries:
        if entry is None:
            yield WAITING
            continue
        if entry.offset > tail.offset:
            return
        record = journal.read(entry.value, entry.offset)
        if isinstance(record, BatchRecord) and record.log_time >= since_ms:
            tail.replayable_seq, tail.replayable_offset = record.seq, entry.offset
            tail.replayable_positions = [start for start, _, _ in record.inputs.values()]
            return
