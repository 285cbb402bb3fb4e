"""Upgrade: a changed definition enters a new epoch with everything of the old one that is still its own.

Fence first, read afterwards: no learner can commit between the end of the journal that is read here and the
epoch record that continues it. The epoch record comes first, its snapshot second. Cut off in between, no
learner starts before the upgrade is run again, and that opens the epoch after.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import msgspec

from stream_app.errors import Refused
from stream_app.flow.core import Core
from stream_app.learner.batch import journal
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.epoch import journal_epoch, save_entry
from stream_app.learner.history.learned_again import learn_again
from stream_app.learner.history.past import Past
from stream_app.learner.history.relearn import relearn
from stream_app.learner.history.starts import Wish, diverged, log_start, snapshot_start
from stream_app.learner.history.tail import Tail, check_unmoved
from stream_app.learner.recovery.guards import refuse_lost_journal
from stream_app.learner.recovery.recover import first_entry
from stream_app.learner.recovery.snapshots import dumped
from stream_app.ports import Commit, ReplaySource, ShardWriter
from stream_app.state.shard import ShardState
from stream_app.state.slot import CHAMPION
from topics.envelope import EVENT, RANK_NAMES, RANKS
from topics.journal import EpochRecord

NOTHING = Wish()


class Plan(msgspec.Struct):
    """One shard's way into epoch `epoch` at `seq`; nothing to do where `changed` is empty.

    `given_up` says in words what the shard loses on the way. Where only the group's offsets are set, `epoch`
    is the one that runs.
    """

    shard: int
    epoch: int
    seq: int
    changed: list[str]
    carried: list[str]
    fresh: list[str]
    given_up: list[str] = []


class Prepared(msgspec.Struct):
    """A plan, the state that it begins with, where its inputs go on, and the journal that it continues."""

    plan: Plan
    state: ShardState
    positions: list[int]
    tail: Tail
    restart: list[str]
    relearn: dict[str, int | None] = {}


def upgrade_shard(
    past: Past, writer: ShardWriter | None, agreed: Callable[[Plan], None], wish: Wish = NOTHING
) -> Generator[bool, None, Plan | None]:
    """Take one shard into its next epoch; without a `writer` only say what that would do.

    `agreed` raises unless an operator agreed to what a plan gives up. None: the shard has no history.

    Raises:
        Refused: a learner runs, or the shard cannot be upgraded as it is.
        ShardFailed: Kafka did not take the epoch, or a learner fenced this writer; nothing was written.
    """
    if writer is not None:
        writer.fence()
    prepared = yield from prepare(past, wish)
    if prepared is None:
        return None
    if prepared.plan.changed and writer is not None:
        agreed(prepared.plan)
        yield from open_epoch(past, prepared, writer, agreed)
    return prepared.plan


def prepare(past: Past, wish: Wish = NOTHING) -> Generator[bool, None, Prepared | None]:
    """What an upgrade of the shard would do; None for a shard that has no history yet.

    Raises:
        Refused: no start can be used, or the task or an input topic is another.
    """
    shard, source = past.shard, past.source
    committed, predicted = source.committed(), source.predicted()
    every = (CHAMPION, *past.app.challengers)
    again = dict(wish.relearn)
    again = {name: again.get(name, again.get("all")) for name in every if name in again or "all" in again}
    restart = [name for name in every if name in wish.restart or "all" in wish.restart or name in again]
    first = None if wish.from_log else (yield from first_entry(source, -1))
    if wish.from_log:
        start = yield from log_start(past)
    elif first is None:
        start = None
    elif wish.accept_divergence is not None:
        start = yield from diverged(past, first, wish.accept_divergence)
    else:
        start = yield from snapshot_start(past, first, restart)
    if start is None:
        refuse_lost_journal(shard, committed, predicted)
        return None
    tail, changed, given_up = start.tail, start.changed, start.given_up
    changed += [f"restart of {name}" for name in restart]
    given_up += [
        f"what {name} has learned{', but for what it learns again from the log' if name in again else ''}"
        for name in restart
    ]
    if tail.entered and not wish.from_log:
        changed.append("an upgrade that was cut off, or whose snapshots are lost")
    if tail.replayable_seq > tail.first:
        changed.append("batches that cannot be replayed")
        given_up.append(
            f"what batches {tail.first} to {tail.replayable_seq - 1} brought (lessons, waiting rows, ids): "
            "their inputs or the journal are cut"
        )
    carried, fresh = start.started.carried, start.started.fresh
    plan = Plan(shard, tail.epoch + 1, tail.seq, changed, carried, fresh, given_up)
    positions = next_positions(tail, predicted, source.earliest(), plan)
    if plan.changed and tail.replayable_offset >= 0 and wish.accept_divergence is None:
        plan.given_up.append(
            f"the proof of batches {tail.replayable_seq} to {tail.seq}: they are replayed under this "
            "definition, and no digest is compared"
        )
    reset = [f"the group's offsets {committed} → {positions}"]
    if any(stored not in (None, goal) for stored, goal in zip(committed, positions, strict=True)):
        if not plan.changed:
            plan.epoch, plan.carried, plan.fresh = tail.epoch, [], []
        plan.changed += reset
    return Prepared(plan, start.state, positions, tail, restart, again)


def next_positions(tail: Tail, predicted: int | None, retained: list[int], plan: Plan) -> list[int]:
    """Where the inputs go on: at the journal's end, but never at an event that was answered already.

    What that changes and gives up is added to the plan.
    """
    positions = list(tail.positions)
    if predicted is not None and predicted >= positions[EVENT]:
        plan.changed.append("predictions beyond the journal")
        plan.given_up.append(
            f"events {positions[EVENT]} to {predicted}: batches that the journal has lost answered them, so "
            "they are not answered again, and their labels are not learned"
        )
        positions[EVENT] = predicted + 1
    for rank in RANKS:
        if retained[rank] > positions[rank]:
            plan.changed.append(f"{RANK_NAMES[rank]} that were deleted before they were read")
            plan.given_up.append(
                f"{RANK_NAMES[rank]} {positions[rank]} to {retained[rank] - 1}: they were deleted unread"
            )
            positions[rank] = retained[rank]
    return positions


def open_epoch(
    past: Past, prepared: Prepared, writer: ShardWriter, agreed: Callable[[Plan], None]
) -> Generator[bool, None, None]:
    """Journal the epoch, set the group's offsets with it, and save the snapshot through which it is entered.

    Raises:
        Refused: the journal went on since the plan was made.
        ShardFailed: Kafka did not take it; run the upgrade again.
    """
    app, source, store = past.app, past.source, past.store
    plan, state, tail = prepared.plan, prepared.state, prepared.tail
    if plan.epoch == tail.epoch:
        yield from refuse_moved(source, plan, tail)
        writer.commit(Commit([], [], None, prepared.positions), source.group())
        return
    processor = BatchProcessor(
        Core(app, state, store.round_trip, store.refill_sets),
        past.topics,
        epoch=plan.epoch,
        seq=plan.seq,
        digest=tail.digest,
        positions=prepared.positions,
    )
    if tail.batches or prepared.restart:
        lost = yield from relearn(processor, source, tail, prepared.restart)
        lost += yield from learn_again(past, state, prepared.relearn)
        if lost:
            plan.given_up += lost
            agreed(plan)
        processor = BatchProcessor(
            Core(app, state, store.round_trip, store.refill_sets),
            past.topics,
            epoch=plan.epoch,
            seq=plan.seq,
            digest=tail.digest,
            positions=prepared.positions,
        )
    try:
        payload = dumped(store, state).payload
    except Exception as error:  # a model may raise anything; what cannot be saved must not be entered
        raise Refused(
            f"shard {plan.shard}: the new state cannot be saved ({type(error).__name__}: {error})",
            "Correct the definition, or leave out the slot that holds it: --restart SLOT",
        ) from error
    record = EpochRecord(
        plan.epoch,
        plan.seq,
        past.fingerprint,
        journal.by_name(prepared.positions),
        tail.digest,
        plan.carried,
        plan.given_up,
    )
    yield from refuse_moved(source, plan, tail)
    offset = journal_epoch(plan.shard, record, writer, source)
    save_entry(app, processor, past.fingerprint, store, offset, payload)


def refuse_moved(source: ReplaySource, plan: Plan, tail: Tail) -> Generator[bool, None, None]:
    """Read the journal's end again, right before something is written behind it."""
    if not (yield from check_unmoved(source, tail.offset)):
        raise Refused(
            f"shard {plan.shard}: a learner committed while the upgrade was prepared",
            "Stop every learner (SIGTERM), then run the upgrade again",
        )
