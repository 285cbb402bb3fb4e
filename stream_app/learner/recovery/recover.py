"""Recovery of a shard, read top to bottom: fence, find a snapshot, replay, compare, go live.

A generator: each `yield` gives the process's live shards a turn and says whether there is more to do right
away. Nothing is written but a first epoch record, and an alert while the snapshots cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import msgspec
import structlog

from stream_app.application import Application
from stream_app.errors import Halted, ShardFailed
from stream_app.flow.core import Core
from stream_app.learner.batch import journal
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.journal import JournalRecord
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.care import Failures
from stream_app.learner.dependencies import Dependencies
from stream_app.learner.recovery.guards import check_entered, check_predicted, refuse_lost_journal
from stream_app.learner.recovery.journal_start import check_start
from stream_app.learner.recovery.lives import left_aside, refuse_lost_history, require_same_inputs
from stream_app.learner.recovery.lost_batches import forget_lost, shown_now
from stream_app.learner.recovery.offsets import are_behind, behind_alert
from stream_app.learner.recovery.replay import WAITING, replay
from stream_app.learner.recovery.snapshots import restore
from stream_app.learner.recovery.store_calls import Ask, StoreCalls
from stream_app.learner.recovery.torn import refuse_torn
from stream_app.ports import Commit, ReplaySource, Send, ShardWriter, SnapshotStore, View
from stream_app.state.shard import ShardState
from topics.journal import EpochRecord

T = TypeVar("T")
log = structlog.get_logger()


class Recovered(msgspec.Struct):
    """A shard that may go live; `replayed` counts batches, `snapshot_seq` is where the replay began, and
    `stored` the batch that the view shows.
    """

    processor: BatchProcessor
    writer: ShardWriter
    journal_offset: int
    replayed: int
    snapshot_seq: int | None
    view: View
    stored: str | None
    failures: Failures = msgspec.field(default_factory=Failures)  # of the lives before in this process


class Helper:
    """The blocking calls of one recovery, one at a time on the pool."""

    def __init__(self, pool: Executor) -> None:
        self.pool = pool
        self.last: Future[Any] | None = None

    def call(self, work: Callable[..., T], *arguments: Any) -> Generator[bool, None, T]:
        """Give others a turn until the call is done."""
        future: Future[T] = self.pool.submit(work, *arguments)
        self.last = future
        while not future.done():
            yield WAITING
        found: T = future.result()
        return found

    def afterwards(self, close: Callable[[], None]) -> None:
        """Close a client now, or, for an abandoned recovery, when the call that uses it is over."""
        if self.last is None or self.last.done():
            close()
        else:
            self.last.add_done_callback(lambda _: close())


def recover(deps: Dependencies, shard: int, fingerprint: dict[str, Any]) -> Generator[bool, None, Recovered]:
    """Bring a shard to its journal's end and give it ready to go on.

    Raises:
        Refused: the definition or its libraries changed: upgrade.
        Halted: the journal, an input or the committed offsets contradict each other: a person must decide.
    """
    helper = Helper(deps.pool)
    writer = deps.open_writer(shard)
    try:
        source = deps.open_source(shard)
        try:
            recovered = yield from recovery_steps(deps, shard, fingerprint, helper, writer, source)
        finally:
            helper.afterwards(source.close)
    except BaseException:
        helper.afterwards(writer.close)
        raise
    return recovered


def recovery_steps(
    deps: Dependencies,
    shard: int,
    fingerprint: dict[str, Any],
    helper: Helper,
    writer: ShardWriter,
    source: ReplaySource,
) -> Generator[bool, None, Recovered]:
    """The steps of a recovery in their order."""

    def write(send: Send) -> Generator[bool, None, None]:
        yield from helper.call(writer.commit, Commit([], [send], None, []), None)

    view, shelf = deps.open_view(shard), deps.open_shelf(shard)
    shown = yield from helper.call(shown_now, view, shelf)
    yield from helper.call(writer.fence)
    require_same_inputs(shard, (yield from helper.call(deps.log.topic_ids)), fingerprint)
    committed = yield from helper.call(source.committed)
    predicted = yield from helper.call(source.predicted)
    first = yield from first_entry(source, -1)
    ask, store = StoreCalls(deps, shard, write), deps.open_store(shard)
    yield from ask(store.tidy)
    if first is None:
        refuse_lost_journal(shard, committed, predicted)
        topics = fingerprint["topics"]
        yield from ask(refuse_lost_history, deps.app.name, shard, store, view, topics)
        alerts = yield from ask(left_aside, deps, shard, store, view, topics)
        processor, newest, seq = yield from helper.call(
            first_epoch, deps, shard, fingerprint, source, writer, alerts
        )
    else:
        start = newest_start(deps, ask, store, source, shard, fingerprint, *first)
        processor, newest, seq = yield from start
    batches, last = 0, None

    def count(sealed: SealedBatch, at: int) -> None:
        nonlocal newest, batches, last
        newest = at
        batches += 1
        if sealed.commit.predictions:
            last = sealed.commit.predictions[-1][0]

    yield from replay(processor, source, newest + 1, deps.clock, count)
    check_predicted(shard, predicted, processor.positions)
    refuse_torn(shard, predicted, last)
    if are_behind(shard, committed, processor.positions):
        yield from write(behind_alert(deps, shard, processor.stamp, committed, list(processor.positions)))
    yield from helper.call(forget_lost, shown, view, shelf, processor)
    stored = yield from helper.call(view.stamp)
    return Recovered(processor, writer, newest, batches, seq, view, stored)


def first_entry(source: ReplaySource, offset: int) -> Generator[bool, None, tuple[int, JournalRecord] | None]:
    """The journal's (offset, record) at `offset` (−1: the earliest readable), or None where it has none.

    Raises:
        Halted: the record at `offset`, or every one, is damaged.
    """
    damaged: Halted | None = None
    for entry in source.journal(offset):
        if entry is None:
            yield WAITING
            continue
        if offset >= 0 and entry.offset != offset:
            return None
        try:
            return entry.offset, journal.read(entry.value, entry.offset)
        except Halted as error:  # a snapshot may lead past it
            damaged = error
        if offset >= 0:
            break
    if damaged is not None:
        raise damaged
    return None


def first_epoch(
    deps: Dependencies,
    shard: int,
    fingerprint: dict[str, Any],
    source: ReplaySource,
    writer: ShardWriter,
    alerts: list[Send],
) -> tuple[BatchProcessor, int, int | None]:
    """A shard without history: journal its first epoch from the earliest retained inputs."""
    positions = source.earliest()
    record = EpochRecord(0, 0, fingerprint, journal.by_name(positions), FIRST_DIGEST, [])
    offset = writer.commit(Commit([], alerts, journal.encode(record), positions), None)
    if offset is None:
        raise ShardFailed(f"shard {shard}: the first epoch record was committed without a report")
    store = deps.open_store(shard)
    return fresh(deps.app, shard, record, deps.input_topics, store), offset, None


def fresh(
    app: Application, shard: int, record: EpochRecord, input_topics: tuple[str, ...], store: SnapshotStore
) -> BatchProcessor:
    """The machine at the very start of an epoch that carried nothing over."""
    positions = journal.by_rank(record.positions)
    core = Core(app, ShardState(app, shard), store.round_trip, store.refill_sets)
    return BatchProcessor(
        core, input_topics, epoch=record.epoch, seq=record.seq, digest=record.digest, positions=positions
    )


def newest_start(
    deps: Dependencies,
    ask: Ask,
    store: SnapshotStore,
    source: ReplaySource,
    shard: int,
    fingerprint: dict[str, Any],
    offset: int,
    first: JournalRecord,
) -> Generator[bool, None, tuple[BatchProcessor, int, int | None]]:
    """The newest snapshot that the journal confirms, else its beginning, which is `first` at `offset`."""
    loaded = yield from newest_snapshot(ask, store, source, deps.app, shard, fingerprint)
    if loaded is not None:
        header, state = loaded
        processor = resumed(deps.app, header, state, deps.input_topics, store)
        return processor, header["journal_offset"], header["seq"]
    if not isinstance(first, EpochRecord) or first.epoch != 0:
        raise Halted(
            f"shard {shard}: no valid snapshot, and the journal no longer reaches back to the beginning",
            "Restore the snapshot directory or the journal topic, or start from the retained inputs: "
            "`stream-app upgrade MODULE:APP --from-log`",
        )
    yield from check_start(source, shard, first.fingerprint, fingerprint, offset)
    return fresh(deps.app, shard, first, deps.input_topics, store), offset, None


def newest_snapshot(
    ask: Ask,
    store: SnapshotStore,
    source: ReplaySource,
    app: Application,
    shard: int,
    fingerprint: dict[str, Any],
) -> Generator[bool, None, tuple[dict[str, Any], ShardState] | None]:
    """Try snapshots, newest first: signed by us, confirmed by the journal, same fingerprint and answers."""
    for name in (yield from ask(store.names)):
        found = yield from ask(store.read, name)
        if found is None:
            continue
        header, load = found
        if not (yield from confirmed(source, header)):
            log.warning(
                "snapshot passed over", shard=shard, seq=header["seq"], why="the journal does not confirm it"
            )
            continue
        yield from check_start(source, shard, header["fingerprint"], fingerprint, header["journal_offset"])
        try:
            return header, (yield from ask(restore, app, header, load))
        except ShardFailed:  # of the alert that says so, if that takes long
            raise
        except Exception as error:  # any failure of a foreign pickle means: try the next older one
            log.warning("snapshot passed over", shard=shard, seq=header["seq"], why=str(error))
    return None


def confirmed(source: ReplaySource, header: dict[str, Any]) -> Generator[bool, None, bool]:
    """Whether the journal says of itself, where the snapshot was taken, what the snapshot says.

    Raises:
        Forked: the snapshot leads into an epoch that does not continue the journal.
    """
    offset = header["journal_offset"]
    try:
        entry = yield from first_entry(source, offset)
    except Halted:  # the journal no longer reaches back to this snapshot
        return False
    wanted = (header["epoch"], header["seq"], header["digest"])
    if entry is None or (entry[1].epoch, entry[1].seq, entry[1].digest) != wanted:
        return False
    if isinstance(entry[1], EpochRecord) and entry[1].epoch > 0:
        yield from check_entered(source, entry[1], offset)
    return True


def resumed(
    app: Application,
    header: dict[str, Any],
    state: ShardState,
    input_topics: tuple[str, ...],
    store: SnapshotStore,
) -> BatchProcessor:
    """The machine where a snapshot left it."""
    return BatchProcessor(
        Core(app, state, store.round_trip, store.refill_sets),
        input_topics,
        epoch=header["epoch"],
        seq=header["seq"],
        digest=header["digest"],
        positions=header["positions"],
    )
