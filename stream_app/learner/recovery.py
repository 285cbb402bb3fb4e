"""Recovery of a shard, read top to bottom: fence, find a snapshot, replay, compare, go live.

A generator: each `yield` gives the process's live shards a turn and tells whether there is more to do right
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
from stream_app.flow.core import Core, RoundTrip
from stream_app.learner import journal
from stream_app.learner.emit import FIRST_DIGEST
from stream_app.learner.fingerprint import check_fingerprint
from stream_app.learner.journal import EpochRecord
from stream_app.learner.lives import left_aside, refuse_lost_history, require_same_inputs
from stream_app.learner.machine import Closed, Machine
from stream_app.learner.outside import Outside
from stream_app.learner.replay import MORE, WAITING, replay
from stream_app.learner.snapshots import restore
from stream_app.learner.store_calls import Ask, StoreCalls
from stream_app.ports import Commit, ReplaySource, Send, ShardWriter, SnapshotStore, View
from stream_app.state.shard import ShardState

T = TypeVar("T")
SCANNED = 1_000  # journal records that are searched before others have a turn
log = structlog.get_logger()


class Recovered(msgspec.Struct):
    """A shard that may go live; `replayed` counts batches, `snapshot_seq` is where the replay began, and
    `stored` the batch that the view shows.
    """

    machine: Machine
    writer: ShardWriter
    journal_offset: int
    replayed: int
    snapshot_seq: int | None
    view: View
    stored: str | None


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

    def write(send: Send) -> Generator[bool, None, None]:
        yield from helper.call(writer.commit, Commit([], [send], None, []), None)

    yield from helper.call(writer.fence)
    require_same_inputs(shard, (yield from helper.call(outside.log.topic_ids)), fingerprint)
    committed = yield from helper.call(source.committed)
    first = yield from first_entry(source, -1)
    ask, store, view = StoreCalls(outside, shard, write), outside.open_store(shard), outside.open_view(shard)
    yield from ask(store.tidy)
    if first is None:
        refuse_lost_journal(shard, committed)
        topics = fingerprint["topics"]
        yield from ask(refuse_lost_history, outside.app.name, shard, store, view, topics)
        alerts = yield from ask(left_aside, outside, shard, store, view, topics)
        machine, newest, seq = yield from helper.call(
            first_epoch, outside, shard, fingerprint, source, writer, alerts
        )
    else:
        start = newest_start(outside, ask, store, source, shard, fingerprint, *first)
        machine, newest, seq = yield from start
    batches = 0

    def count(_closed: Closed, at: int) -> None:
        nonlocal newest, batches
        newest = at
        batches += 1

    yield from replay(machine, source, newest + 1, outside.clock, count)
    compare(shard, committed, machine.positions)
    stored = yield from helper.call(view.stamp)
    return Recovered(machine, writer, newest, batches, seq, view, stored)


def first_entry(
    source: ReplaySource, offset: int
) -> Generator[bool, None, tuple[int, journal.BatchRecord | EpochRecord] | None]:
    """The journal's (offset, record) at `offset` (−1: the earliest retained), or None where it has none."""
    for entry in source.journal(offset):
        if entry is None:
            yield WAITING
            continue
        if offset >= 0 and entry.offset != offset:
            return None
        return entry.offset, journal.read(entry.value, entry.offset)
    return None


def first_epoch(
    outside: Outside,
    shard: int,
    fingerprint: dict[str, Any],
    source: ReplaySource,
    writer: ShardWriter,
    alerts: list[Send],
) -> tuple[Machine, int, int | None]:
    """A shard without history: journal its first epoch from the earliest retained inputs."""
    positions = source.earliest()
    record = EpochRecord(0, 0, fingerprint, journal.by_name(positions), FIRST_DIGEST, [])
    offset = writer.commit(Commit([], alerts, journal.encode(record), positions), None)
    if offset is None:
        raise ShardFailed(f"shard {shard}: the first epoch record was committed without a report")
    round_trip = outside.open_store(shard).round_trip
    return fresh(outside.app, shard, record, outside.input_topics, round_trip), offset, None


def fresh(
    app: Application, shard: int, record: EpochRecord, input_topics: tuple[str, ...], round_trip: RoundTrip
) -> Machine:
    """The machine at the very start of an epoch that carried nothing over."""
    positions = journal.by_rank(record.positions)
    core = Core(app, ShardState(app, shard), round_trip)
    return Machine(
        core, input_topics, epoch=record.epoch, seq=record.seq, digest=record.digest, positions=positions
    )


def newest_start(
    outside: Outside, ask: Ask, store: SnapshotStore, source: ReplaySource, shard: int,
    fingerprint: dict[str, Any], offset: int, first: journal.BatchRecord | EpochRecord,
) -> Generator[bool, None, tuple[Machine, int, int | None]]:  # fmt: skip
    """The newest snapshot that the journal confirms, else its beginning, which is `first` at `offset`."""
    loaded = yield from newest_snapshot(ask, store, source, outside.app, shard, fingerprint)
    if loaded is not None:
        header, state = loaded
        machine = resumed(outside.app, header, state, outside.input_topics, store.round_trip)
        return machine, header["journal_offset"], header["seq"]
    if not isinstance(first, EpochRecord) or first.epoch != 0:
        raise Halted(
            f"shard {shard}: no valid snapshot, and the journal no longer reaches back to the beginning",
            "Restore the snapshot directory or the journal topic",
        )
    yield from check_start(source, shard, first.fingerprint, fingerprint, offset)
    return fresh(outside.app, shard, first, outside.input_topics, store.round_trip), offset, None


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
            return header, restore(app, (yield from ask(load)))
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
    if recorded != fingerprint:
        yield from refuse_lost_epoch(source, shard, offset)
    check_fingerprint(recorded, fingerprint)


def refuse_lost_epoch(source: ReplaySource, shard: int, offset: int) -> Generator[bool, None, None]:
    """Halt if an epoch begins after `offset`: none of its snapshots was found, so an older start was."""
    epoch, batches = 0, False
    for entry in source.journal(offset + 1):
        if entry is None:
            yield WAITING
            continue
        record = journal.read(entry.value, entry.offset)
        epoch = max(epoch, record.epoch if isinstance(record, EpochRecord) else 0)
        batches |= not isinstance(record, EpochRecord)
        if entry.offset % SCANNED == 0:
            yield MORE
    if not epoch:
        return
    remedy = "Restore the snapshot directory; `snapshot passed over` in the log tells of unusable ones"
    if not batches:
        remedy += ". If an upgrade was cut off, run `stream-app upgrade` again"
    raise Halted(
        f"shard {shard}: the snapshots of epoch {epoch} are missing, and nothing else leads into it", remedy
    )


def confirmed(source: ReplaySource, header: dict[str, Any]) -> Generator[bool, None, bool]:
    """Whether the journal says of itself, where the snapshot was taken, what the snapshot says."""
    try:
        entry = yield from first_entry(source, header["journal_offset"])
    except Halted:  # the journal no longer reaches back to this snapshot
        return False
    wanted = (header["epoch"], header["seq"], header["digest"])
    return entry is not None and (entry[1].epoch, entry[1].seq, entry[1].digest) == wanted


def resumed(
    app: Application, header: dict[str, Any], state: ShardState, input_topics: tuple[str, ...],
    round_trip: RoundTrip,
) -> Machine:  # fmt: skip
    """The machine where a snapshot left it."""
    return Machine(
        Core(app, state, round_trip), input_topics,
        epoch=header["epoch"], seq=header["seq"], digest=header["digest"], positions=header["positions"],
    )  # fmt: skip


def refuse_lost_journal(shard: int, committed: list[int | None]) -> None:
    """Committed offsets without a journal: its topic was emptied or created anew."""
    if any(position is not None and position > 0 for position in committed):
        raise Halted(
            f"shard {shard} has committed offsets {committed} but its journal is empty",
            "Restore the journal topic, or start the application under a new name",
        )


def compare(shard: int, committed: list[int | None], positions: list[int]) -> None:
    """Committed offsets, where the broker still has them, must be the journal's (invariant I4)."""
    for stored, expected in zip(committed, positions, strict=True):
        if stored is not None and stored != expected:
            raise Halted(
                f"shard {shard}: committed offsets {committed} are not the journal's {positions}",
                "Somebody reset the group's offsets: set them to the journal's with kafka-consumer-groups",
            )
