"""Recovery of a shard, read top to bottom: fence, find a snapshot, replay, compare, go live.

A generator: each `yield` gives the process's live shards a turn and tells whether there is more to do right
away. Nothing is written but a first epoch record.
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
from stream_app.learner import journal
from stream_app.learner.care import Failures
from stream_app.learner.emit import FIRST_DIGEST
from stream_app.learner.fingerprint import changes, check_fingerprint
from stream_app.learner.guards import check_entered, check_predicted
from stream_app.learner.journal import BatchRecord, EpochRecord, JournalRecord
from stream_app.learner.machine import Closed, Machine
from stream_app.learner.outside import Outside
from stream_app.learner.replay import MORE, WAITING, replay
from stream_app.learner.snapshots import restore
from stream_app.learner.torn import refuse_torn
from stream_app.ports import Commit, ReplaySource, ShardWriter, SnapshotStore
from stream_app.state.shard import ShardState

T = TypeVar("T")
SCANNED = 1_000  # journal records that are searched before others have a turn
log = structlog.get_logger()


class Recovered(msgspec.Struct):
    """A shard that may go live; `replayed` counts batches, `snapshot_seq` is where the replay began."""

    machine: Machine
    writer: ShardWriter
    journal_offset: int
    replayed: int
    snapshot_seq: int | None
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


def recover(outside: Outside, shard: int, fingerprint: dict[str, Any]) -> Generator[bool, None, Recovered]:
    """Bring a shard to its journal's end and give it ready to go on.

    Raises:
        Refused: the definition or its libraries changed: upgrade.
        Halted: the journal, an input or the committed offsets contradict each other: a person must decide.
    """
    helper = Helper(outside.pool)
    writer = outside.open_writer(shard)
    try:
        source = outside.open_source(shard)
        try:
            recovered = yield from replayed(outside, shard, fingerprint, helper, writer, source)
        finally:
            helper.afterwards(source.close)
    except BaseException:
        helper.afterwards(writer.close)
        raise
    return recovered


def replayed(
    outside: Outside, shard: int, fingerprint: dict[str, Any], helper: Helper, writer: ShardWriter,
    source: ReplaySource,
) -> Generator[bool, None, Recovered]:  # fmt: skip
    """The steps of a recovery in their order."""
    yield from helper.call(writer.fence)
    committed = yield from helper.call(source.committed)
    predicted = yield from helper.call(source.predicted)
    first = yield from first_entry(source, -1)
    if first is None:
        refuse_lost_journal(shard, committed, predicted)
        machine, newest, seq = yield from helper.call(
            first_epoch, outside, shard, fingerprint, source, writer
        )
    else:
        machine, newest, seq = yield from newest_start(outside, source, shard, fingerprint, *first)
    batches, last = 0, None

    def count(closed: Closed, at: int) -> None:
        nonlocal newest, batches, last
        newest = at
        batches += 1
        if closed.commit.predictions:
            last = closed.commit.predictions[-1][0]

    yield from replay(machine, source, newest + 1, outside.clock, count)
    check_predicted(shard, predicted, machine.positions)
    compare(shard, committed, machine.positions)
    refuse_torn(shard, predicted, last)
    return Recovered(machine, writer, newest, batches, seq)


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
    outside: Outside, shard: int, fingerprint: dict[str, Any], source: ReplaySource, writer: ShardWriter
) -> tuple[Machine, int, int | None]:
    """A shard without history: journal its first epoch from the earliest retained inputs."""
    positions = source.earliest()
    record = EpochRecord(0, 0, fingerprint, journal.by_name(positions), FIRST_DIGEST, [])
    offset = writer.commit(Commit([], [], journal.encode(record), positions), None)
    if offset is None:
        raise ShardFailed(f"shard {shard}: the first epoch record was committed without a report")
    store = outside.open_store(shard)
    return fresh(outside.app, shard, record, outside.input_topics, store), offset, None


def fresh(
    app: Application, shard: int, record: EpochRecord, input_topics: tuple[str, ...], store: SnapshotStore
) -> Machine:
    """The machine at the very start of an epoch that carried nothing over."""
    positions = journal.by_rank(record.positions)
    core = Core(app, ShardState(app, shard), store.round_trip, store.settle)
    return Machine(
        core, input_topics, epoch=record.epoch, seq=record.seq, digest=record.digest, positions=positions
    )


def newest_start(
    outside: Outside, source: ReplaySource, shard: int, fingerprint: dict[str, Any], offset: int,
    first: JournalRecord,
) -> Generator[bool, None, tuple[Machine, int, int | None]]:  # fmt: skip
    """The newest snapshot that the journal confirms, else its beginning, which is `first` at `offset`."""
    store = outside.open_store(shard)
    loaded = yield from newest_snapshot(store, source, outside.app, shard, fingerprint)
    if loaded is not None:
        header, state = loaded
        machine = resumed(outside.app, header, state, outside.input_topics, store)
        return machine, header["journal_offset"], header["seq"]
    if not isinstance(first, EpochRecord) or first.epoch != 0:
        raise Halted(
            f"shard {shard}: no valid snapshot, and the journal no longer reaches back to the beginning",
            "Restore the snapshot directory or the journal topic, or start from the retained inputs: "
            "`stream-app upgrade MODULE:APP --from-log`",
        )
    yield from check_start(source, shard, first.fingerprint, fingerprint, offset)
    return fresh(outside.app, shard, first, outside.input_topics, store), offset, None


def newest_snapshot(
    store: SnapshotStore, source: ReplaySource, app: Application, shard: int, fingerprint: dict[str, Any]
) -> Generator[bool, None, tuple[dict[str, Any], ShardState] | None]:
    """Try snapshots, newest first: signed by us, confirmed by the journal, same fingerprint and answers."""
    for header, load in store.load():
        if not (yield from confirmed(source, header)):
            log.warning(
                "snapshot passed over", shard=shard, seq=header["seq"], why="the journal does not confirm it"
            )
            continue
        yield from check_start(source, shard, header["fingerprint"], fingerprint, header["journal_offset"])
        try:
            return header, restore(app, header, load)
        except Exception as error:  # any failure of a foreign pickle means: try the next older one
            log.warning("snapshot passed over", shard=shard, seq=header["seq"], why=str(error))
    return None


def check_start(
    source: ReplaySource, shard: int, recorded: dict[str, Any], fingerprint: dict[str, Any], offset: int
) -> Generator[bool, None, None]:
    """Whether this process may go on from journal offset `offset`, which `recorded` wrote.

    Only where it may not, the journal is searched: a later epoch in it explains why the two differ.

    Raises:
        Halted: the snapshots of a later epoch are not there, or an input topic is another one.
        Refused: another definition, library or platform: upgrade.
    """
    if any(changes(recorded, fingerprint)):
        yield from refuse_lost_epoch(source, shard, offset)
    check_fingerprint(recorded, fingerprint)


def refuse_lost_epoch(source: ReplaySource, shard: int, offset: int) -> Generator[bool, None, None]:
    """Halt if an epoch begins after `offset`: none of its snapshots was found, so an older start was."""
    epoch, batches = 0, False
    for number, entry in enumerate(source.journal(offset + 1), 1):
        if entry is None:
            yield WAITING
            continue
        record = journal.read(entry.value, entry.offset)
        epoch = max(epoch, record.epoch if isinstance(record, EpochRecord) else 0)
        batches |= isinstance(record, BatchRecord)
        if number % SCANNED == 0:  # not its offset: control records take up every second one
            yield MORE
    if not epoch:
        return
    remedy = (
        "Restore the snapshot directory; `snapshot passed over` in the log names unusable ones. Or run "
        "`stream-app upgrade MODULE:APP`: "
    )
    remedy += "it names what is lost" if batches else "an upgrade was cut off, and nothing is lost"
    raise Halted(
        f"shard {shard}: the snapshots of epoch {epoch} are missing, and nothing else leads into it", remedy
    )


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
    app: Application, header: dict[str, Any], state: ShardState, input_topics: tuple[str, ...],
    store: SnapshotStore,
) -> Machine:  # fmt: skip
    """The machine where a snapshot left it."""
    return Machine(
        Core(app, state, store.round_trip, store.settle), input_topics,
        epoch=header["epoch"], seq=header["seq"], digest=header["digest"], positions=header["positions"],
    )  # fmt: skip


def refuse_lost_journal(shard: int, committed: list[int | None], predicted: int | None) -> None:
    """Committed offsets or predictions without a journal: its topic was emptied or created again."""
    if predicted is not None or any(position is not None and position > 0 for position in committed):
        answered = "" if predicted is None else f" and predictions up to event {predicted}"
        raise Halted(
            f"shard {shard} has committed offsets {committed}{answered} but its journal is empty",
            "Restore the journal topic, or start the application under a new name",
        )


def compare(shard: int, committed: list[int | None], positions: list[int]) -> None:
    """Committed offsets, where the broker still has them, must be the journal's (invariant I4)."""
    for stored, expected in zip(committed, positions, strict=True):
        if stored is not None and stored != expected:
            raise Halted(
                f"shard {shard}: committed offsets {committed} are not the journal's {positions}: the "
                "group's offsets were reset",
                "Stop every learner and run `stream-app upgrade MODULE:APP`: it sets them to the journal's",
            )
