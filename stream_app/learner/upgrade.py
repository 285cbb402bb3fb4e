"""Upgrade: a changed definition enters a new epoch with everything of the old one that is still its own.

The epoch record comes first, its snapshot second. Cut off in between, no learner starts before the upgrade is
run again, and that opens the epoch after.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.errors import Refused, ShardFailed
from stream_app.flow.core import Core
from stream_app.learner import journal
from stream_app.learner.carry import SETTLE, Started, carry
from stream_app.learner.fingerprint import changes
from stream_app.learner.journal import BatchRecord, EpochRecord
from stream_app.learner.machine import Machine
from stream_app.learner.recovery import confirmed, first_entry
from stream_app.learner.replay import WAITING
from stream_app.learner.snapshots import header, stored
from stream_app.ports import Commit, ReplaySource, ShardWriter, SnapshotStore
from stream_app.state.shard import CHAMPION, ShardState


class Plan(msgspec.Struct):
    """One shard's way into epoch `epoch` at `seq`; nothing to do where `changed` is empty."""

    shard: int
    epoch: int
    seq: int
    changed: list[str]
    carried: list[str]
    fresh: list[str]


class Prepared(msgspec.Struct):
    """A plan and the state that it leads to."""

    plan: Plan
    state: ShardState
    positions: list[int]
    digest: str


def prepare(
    app: Application, shard: int, fingerprint: dict[str, Any], source: ReplaySource, store: SnapshotStore
) -> Generator[bool, None, Prepared | None]:
    """What an upgrade of the shard would do; None for a shard that has no history yet.

    Raises:
        Refused: the newest snapshot is not the journal's end, or cannot be read, or the task is another.
    """
    first = yield from first_entry(source, -1)
    if first is None:
        return None
    newest: EpochRecord | None = first[1] if isinstance(first[1], EpochRecord) else None
    for head, load in store.load():
        if not (yield from confirmed(source, head)):
            continue
        epoch = yield from last_epoch(shard, source, head["journal_offset"], head["epoch"])
        was = head["fingerprint"]
        state = carry(app, shard, was, fingerprint, load, started := Started())
        changed = list(changes(was, fingerprint))
        if epoch != head["epoch"]:
            changed.append("an upgrade that was cut off")
        plan = Plan(shard, epoch + 1, head["seq"], changed, started.carried, started.fresh)
        return Prepared(plan, state, head["positions"], head["digest"])
    if newest is None:
        raise Refused(f"shard {shard} has a journal and no valid snapshot", SETTLE)
    epoch = yield from last_epoch(shard, source, first[0], newest.epoch)
    plan = Plan(
        shard, epoch + 1, 0, list(changes(newest.fingerprint, fingerprint)), [], [CHAMPION, *app.challengers]
    )
    return Prepared(plan, ShardState(app, shard), journal.by_rank(newest.positions), newest.digest)


def last_epoch(shard: int, source: ReplaySource, offset: int, epoch: int) -> Generator[bool, None, int]:
    """The newest epoch after a snapshot; batches in between would be lost."""
    for entry in source.journal(offset + 1):
        if entry is None:
            yield WAITING
            continue
        record = journal.read(entry.value, entry.offset)
        if isinstance(record, BatchRecord):
            raise Refused(f"shard {shard} has committed batches after its newest snapshot", SETTLE)
        epoch = record.epoch
    return epoch


def open_epoch(
    app: Application, prepared: Prepared, fingerprint: dict[str, Any], input_topics: tuple[str, ...],
    writer: ShardWriter, store: SnapshotStore,
) -> None:  # fmt: skip
    """Journal the epoch and save the snapshot through which it is entered.

    Raises:
        ShardFailed: Kafka did not take it; run the upgrade again.
    """
    plan = prepared.plan
    record = EpochRecord(
        plan.epoch, plan.seq, fingerprint, journal.by_name(prepared.positions), prepared.digest, plan.carried
    )
    offset = writer.commit(Commit([], [], journal.encode(record), prepared.positions), None)
    if offset is None:
        raise ShardFailed(f"shard {plan.shard}: the epoch record was committed without a report")
    machine = Machine(
        Core(app, prepared.state), input_topics,
        epoch=plan.epoch, seq=plan.seq, digest=prepared.digest, positions=prepared.positions,
    )  # fmt: skip
    head = {**header(app, plan.shard, machine, fingerprint), "journal_offset": offset}
    store.save(head, stored(app, prepared.state, store.dump))
