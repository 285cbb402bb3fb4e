"""Where an upgrade can begin: at a snapshot, at the oldest retained input, or after a diverged batch."""

from __future__ import annotations

from collections.abc import Generator

import msgspec

from stream_app.errors import Refused
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.journal import JournalRecord
from stream_app.learner.history.migrate import FROM_LOG, SETTLE, MigrationReport, Unreadable, carry
from stream_app.learner.history.past import Past
from stream_app.learner.history.relearn import renumber
from stream_app.learner.history.tail import BEFORE_ALL, Tail, read_tail
from stream_app.learner.recovery.fingerprint import changes, check_topics
from stream_app.learner.recovery.guards import Forked, positions_after
from stream_app.learner.recovery.journal_start import check_start
from stream_app.learner.recovery.recover import confirmed, fresh, newest_snapshot, resumed
from stream_app.learner.recovery.replay import Diverged, replay
from stream_app.learner.recovery.store_calls import at_once
from stream_app.state.shard import ShardState
from stream_app.state.slot import CHAMPION
from topics.journal import EpochRecord


class Wish(msgspec.Struct, frozen=True):
    """What an operator gives up: the proof from a batch on, what slots have learned, what no log holds.

    `relearn` are slots that start fresh and learn the log again, for so many ms of log time (None: all).
    """

    accept_divergence: int | None = None
    restart: tuple[str, ...] = ()
    from_log: bool = False
    relearn: tuple[tuple[str, int | None], ...] = ()


class Start(msgspec.Struct):
    """The state that an upgrade begins with, the journal's end as seen from it, and what its plan says."""

    state: ShardState
    tail: Tail
    changed: list[str]
    started: MigrationReport
    given_up: list[str]


def snapshot_start(
    past: Past, first: tuple[int, JournalRecord], restart: list[str]
) -> Generator[bool, None, Start]:
    """The newest snapshot that the journal confirms and that can be read, else a journal that only began."""
    app, shard, source, fingerprint = past.app, past.shard, past.source, past.fingerprint
    unread: Refused | None = None
    for head, load in past.store.load():
        try:
            if not (yield from confirmed(source, head)):
                continue
        except Forked:
            continue
        was = head["fingerprint"]
        tail = Tail(
            head["journal_offset"], head["epoch"], head["seq"], head["digest"], head["positions"], was
        )
        tail = yield from read_tail(source, tail)
        check_topics(tail.fingerprint, fingerprint)
        changed = list(changes(tail.fingerprint, fingerprint))
        try:
            state = carry(
                app, shard, head, fingerprint, load, started := MigrationReport([], []), restart, tail.version
            )
        except Unreadable as error:
            unread = unread or error
            continue
        return Start(state, tail, changed, started, [])
    if unread is not None:
        raise unread
    record = first[1]
    tail = Tail(first[0], record.epoch, record.seq, record.digest, positions_after(record), {})
    tail = yield from read_tail(source, tail)
    if not isinstance(record, EpochRecord) or record.epoch or tail.batches:
        fix = f"End a learner that still runs, which writes one. {SETTLE}, or start {FROM_LOG}"
        raise Refused(f"shard {shard} has a journal and no valid snapshot", fix)
    check_topics(record.fingerprint, fingerprint)
    changed = list(changes(record.fingerprint, fingerprint))
    return Start(ShardState(app, shard), tail, changed, MigrationReport([], [CHAMPION, *app.challengers]), [])


def log_start(past: Past) -> Generator[bool, None, Start | None]:
    """Nothing but what the journal and the inputs retain, from the oldest batch that can be replayed on.

    None: the journal is empty.
    """
    tail = yield from read_tail(past.source, Tail(BEFORE_ALL, 0, -1, FIRST_DIGEST, [], {}))
    if tail.seq < 0:
        return None
    check_topics(tail.fingerprint, past.fingerprint)
    state = ShardState(past.app, past.shard)
    if tail.version:
        renumber(state, tail.version)
    given_up = ["what all models have learned, but for what they learn again from the replayed batches"]
    if tail.first > 1:
        given_up.append(f"all that came before batch {tail.first}, which the journal no longer retains")
    started = MigrationReport([], [CHAMPION, *past.app.challengers])
    return Start(state, tail, ["start from the log"], started, given_up)


def diverged(past: Past, first: tuple[int, JournalRecord], seq: int) -> Generator[bool, None, Start]:
    """The state of the replay that a recovery does, after the batch `seq` at which it diverges.

    Raises:
        Refused: it diverges at another batch than the operator names, or the definition changed as well.
    """
    app, shard, source, store, fingerprint = past.app, past.shard, past.source, past.store, past.fingerprint
    loaded = yield from newest_snapshot(at_once, store, source, app, shard, fingerprint)
    record = first[1]
    if loaded is not None:
        head, state = loaded
        processor, offset = resumed(app, head, state, past.topics, store), head["journal_offset"]
    elif isinstance(record, EpochRecord) and record.epoch == 0:
        yield from check_start(source, shard, record.fingerprint, fingerprint, first[0])
        processor, offset = fresh(app, shard, record, past.topics, store), first[0]
    else:
        raise Refused(f"shard {shard} has no start that can be replayed", f"Start {FROM_LOG}")
    core = processor.core
    try:
        yield from replay(processor, source, offset + 1, past.clock)
    except Diverged as found:
        at, batch, changed = found.offset, found.record, [f"divergence at seq {found.record.seq}"]
    else:
        tail = Tail(
            offset, processor.epoch, processor.seq, processor.digest, list(processor.positions), fingerprint
        )
        return Start(core.state, tail, [], MigrationReport([slot.name for slot in core.state.slots], []), [])
    if batch.seq != seq:
        raise Refused(
            f"shard {shard} diverges at seq {batch.seq}, not at {seq}",
            f"Look at that batch; if you accept it, give --accept-divergence {batch.seq}",
        )
    tail = Tail(at, batch.epoch, batch.seq, batch.digest, positions_after(batch), fingerprint)
    tail = yield from read_tail(source, tail)
    lost = (
        f"the proof of batches {batch.seq} to {tail.seq}: what was answered since cannot be computed again, "
        "and the models are those of the replay"
    )
    return Start(
        core.state, tail, changed, MigrationReport([slot.name for slot in core.state.slots], []), [lost]
    )
