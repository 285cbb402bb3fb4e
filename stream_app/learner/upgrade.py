"""Upgrade: a changed definition enters a new epoch with everything of the old one that is still its own.

Fence first, read afterwards: no learner can commit between the end of the journal that is read here and the
epoch record that continues it. The epoch record comes first, its snapshot second. Cut off in between, no
learner starts before the upgrade is run again, and that opens the epoch after.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.errors import Refused, ShardFailed
from stream_app.flow.core import Core
from stream_app.learner import journal
from stream_app.learner.carry import SETTLE, Started, carry
from stream_app.learner.fingerprint import changes
from stream_app.learner.guards import Forked
from stream_app.learner.journal import EpochRecord
from stream_app.learner.machine import Machine
from stream_app.learner.recovery import confirmed, first_entry, refuse_lost_journal
from stream_app.learner.snapshots import header, parts
from stream_app.learner.tail import Tail, check_unmoved, read_tail
from stream_app.ports import Commit, ReplaySource, ShardWriter, SnapshotStore
from stream_app.state.shard import CHAMPION, ShardState
from topics.envelope import EVENT, RANK_NAMES, RANKS


class Plan(msgspec.Struct):
    """One shard's way into epoch `epoch` at `seq`; nothing to do where `changed` is empty.

    `given_up` says in words what the shard loses on the way.
    """

    shard: int
    epoch: int
    seq: int
    changed: list[str]
    carried: list[str]
    fresh: list[str]
    given_up: list[str] = []


class Prepared(msgspec.Struct):
    """A plan, the state that it leads to, where its inputs go on, and the journal's end that it continues."""

    plan: Plan
    state: ShardState
    positions: list[int]
    tail: Tail


def upgrade_shard(
    app: Application, shard: int, fingerprint: dict[str, Any], input_topics: tuple[str, ...],
    writer: ShardWriter | None, source: ReplaySource, store: SnapshotStore, agreed: Callable[[Plan], None],
) -> Generator[bool, None, Plan | None]:  # fmt: skip
    """Take one shard into its next epoch; without a `writer` only say what that would do.

    `agreed` raises where a plan gives something up that nobody agreed to. None: the shard has no history.

    Raises:
        Refused: a learner runs, or the shard cannot be upgraded as it is.
        ShardFailed: Kafka did not take the epoch, or a learner fenced this writer; nothing was written.
    """
    if writer is not None:
        writer.fence()
    prepared = yield from prepare(app, shard, fingerprint, source, store)
    if prepared is None:
        return None
    if prepared.plan.changed and writer is not None:
        agreed(prepared.plan)
        yield from open_epoch(app, prepared, fingerprint, input_topics, writer, source, store)
    return prepared.plan


def prepare(
    app: Application, shard: int, fingerprint: dict[str, Any], source: ReplaySource, store: SnapshotStore
) -> Generator[bool, None, Prepared | None]:
    """What an upgrade of the shard would do; None for a shard that has no history yet.

    Raises:
        Refused: the newest snapshot is not the journal's end, or cannot be read, or the task is another.
    """
    committed, predicted = source.committed(), source.predicted()
    first = yield from first_entry(source, -1)
    if first is None:
        refuse_lost_journal(shard, committed, predicted)
        return None
    for head, load in store.load():
        try:
            if not (yield from confirmed(source, head)):
                continue
        except Forked:
            continue
        was, start = head["fingerprint"], head["epoch"]
        tail = Tail(head["journal_offset"], start, head["seq"], head["digest"], head["positions"], was)
        tail = yield from read_tail(source, tail)
        refuse_unsaved(shard, tail)
        state = carry(app, shard, was, fingerprint, load, started := Started())
        break
    else:
        if not isinstance(first[1], EpochRecord) or first[1].epoch:
            raise Refused(f"shard {shard} has a journal and no valid snapshot", SETTLE)
        tail = Tail(first[0], 0, first[1].seq, first[1].digest, [], first[1].fingerprint)
        tail.end_at(first[1])
        tail = yield from read_tail(source, tail)
        refuse_unsaved(shard, tail)
        state, was = ShardState(app, shard), first[1].fingerprint
        started = Started([], [CHAMPION, *app.challengers])
    changed = list(changes(was, fingerprint))
    if tail.entered:
        changed.append("an upgrade that was cut off")
    plan = Plan(shard, tail.epoch + 1, tail.seq, changed, started.carried, started.fresh)
    return Prepared(plan, state, next_positions(tail, committed, predicted, source.earliest(), plan), tail)


def refuse_unsaved(shard: int, tail: Tail) -> None:
    """Batches after the snapshot would be lost."""
    if tail.batches:
        raise Refused(f"shard {shard} has committed batches after its newest snapshot", SETTLE)


def next_positions(
    tail: Tail, committed: list[int | None], predicted: int | None, retained: list[int], plan: Plan
) -> list[int]:
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
    if any(stored not in (None, goal) for stored, goal in zip(committed, positions, strict=True)):
        plan.changed.append(f"the group's offsets {committed} → {positions}")
    return positions


def open_epoch(
    app: Application, prepared: Prepared, fingerprint: dict[str, Any], input_topics: tuple[str, ...],
    writer: ShardWriter, source: ReplaySource, store: SnapshotStore,
) -> Generator[bool, None, None]:  # fmt: skip
    """Journal the epoch, set the group's offsets with it, and save the snapshot through which it is entered.

    Raises:
        Refused: the journal went on since the plan was made.
        ShardFailed: Kafka did not take it; run the upgrade again.
    """
    plan, state, tail = prepared.plan, prepared.state, prepared.tail
    machine = Machine(
        Core(app, state, store.round_trip), input_topics,
        epoch=plan.epoch, seq=plan.seq, digest=tail.digest, positions=prepared.positions,
    )  # fmt: skip
    payload = store.dump(parts(app, state))  # what cannot be saved must not be entered
    record = EpochRecord(
        plan.epoch, plan.seq, fingerprint, journal.by_name(prepared.positions), tail.digest, plan.carried,
        plan.given_up,
    )  # fmt: skip
    if not (yield from check_unmoved(source, tail.offset)):
        raise Refused(
            f"shard {plan.shard}: a learner committed while the upgrade was prepared",
            "Stop every learner (SIGTERM), then run the upgrade again",
        )
    commit = Commit([], [], journal.encode(record), prepared.positions)
    offset = writer.commit(commit, source.group())
    if offset is None:
        raise ShardFailed(f"shard {plan.shard}: the epoch record was committed without a report")
    store.save({**header(app, plan.shard, machine, fingerprint), "journal_offset": offset}, payload)
