"""Upgrade: a changed definition enters a new epoch with everything of the old one that is still its own.

The epoch record comes first, its snapshot second. Cut off in between, no learner starts before the upgrade is
run again, and that opens the epoch after.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec
import structlog

from stream_app.application import Application
from stream_app.errors import Refused, ShardFailed
from stream_app.flow.core import Core
from stream_app.learner import journal
from stream_app.learner.fingerprint import changes
from stream_app.learner.journal import BatchRecord, EpochRecord
from stream_app.learner.machine import Machine
from stream_app.learner.recovery import confirmed, first_entry
from stream_app.learner.replay import WAITING
from stream_app.learner.snapshots import header, parts, reply
from stream_app.models.calls import bind
from stream_app.ports import Commit, ReplaySource, ShardWriter, SnapshotStore
from stream_app.state.shard import CHAMPION, ShardState, Slot

SETTLE = "Run the definition that it was recorded with once more (`stream-app learn … --exit-when-idle 1`)"
log = structlog.get_logger()


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


class Started(msgspec.Struct):
    """What came along and what begins anew."""

    carried: list[str] = []
    fresh: list[str] = []


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


def carry(
    app: Application, shard: int, was: Mapping[str, Any], now: Mapping[str, Any], load: Callable[[], Any],
    started: Started,
) -> ShardState:  # fmt: skip
    """The new definition's state with what the old one's still fits."""
    before, after = was["definition"], now["definition"]
    if before["task"] != after["task"]:
        raise Refused(
            f"the task changed from {before['task']} to {after['task']}", "Another task needs another name="
        )
    try:
        loaded, trial = load(), load()
    except Exception as error:
        raise Refused(
            f"shard {shard}: the snapshot cannot be read ({error})", f"{SETTLE} and libraries"
        ) from error
    old: ShardState = loaded["state"]
    new = ShardState(app, shard)
    fresh = {slot.name: slot for slot in new.slots}
    adopt(
        old,
        new,
        same_features=before["features"] == after["features"],
        same_drift=before["drift"] == after["drift"],
    )
    new.slots, new.untold = [], {}
    for name in (CHAMPION, *app.challengers):
        slot = next((slot for slot in old.slots if slot.name == name), None)
        same = slot is not None and before["slots"].get(name) == after["slots"][name]
        if slot is not None and same and survives(app, name, loaded, trial["state"]):
            new.slots.append(slot)
            started.carried.append(name)
            continue
        made = fresh[name]
        made.version = new.next_version
        new.next_version += 1
        new.untold[made.version] = (
            "upgrade: its definition changed" if slot else "upgrade: new in the definition"
        )
        new.slots.append(made)
        started.fresh.append(name)
    new.serving = old.serving if any(slot.name == old.serving for slot in new.slots) else CHAMPION
    kept = {
        "features of entities": before["features"] == after["features"],
        "detectors": before["drift"] == after["drift"],
    }
    for part, same in kept.items():
        (started.carried if same else started.fresh).append(part)
    started.carried.append("pending rows and ids")
    return new


def adopt(old: ShardState, new: ShardState, *, same_features: bool, same_drift: bool) -> None:
    """Everything but the slots, under the new definition's bounds."""
    for name in (
        "log_time_ms", "paused", "counters", "dead_by_reason", "next_version", "class_counts", "target_sum",
        "last_label", "baseline", "gap_served", "gap_again", "sample_rows", "misplaced", "pending_overflowed",
        "commands", "command_order",
    ):  # fmt: skip
        setattr(new, name, getattr(old, name))
    # A snapshot from before they kept their order holds sets.
    new.categories = {name: dict.fromkeys(seen) for name, seen in old.categories.items()}
    new.kinds = {**old.kinds, **new.kinds}
    new.classes = {**new.classes, **old.classes}
    for name in ("pending", "parked"):
        waiting = getattr(old, name)
        waiting.limit = getattr(new, name).limit
        setattr(new, name, waiting)
    old.ids.width_ms, old.ids.limit = new.ids.width_ms, new.ids.limit
    new.ids = old.ids
    if same_features:
        old.entities.ttl_ms = new.entities.ttl_ms
        new.entities = old.entities
    if same_drift:
        new.detectors = old.detectors


def survives(app: Application, name: str, loaded: Mapping[str, Any], trial: ShardState) -> bool:
    """The model answers as it did when it was saved, and can still learn; `trial` is a copy to try it on."""
    slot: Slot = next(slot for slot in trial.slots if slot.name == name)
    if slot.failed is not None or name not in loaded["answers"]:
        return False
    try:
        if reply(app, slot, trial.sample_rows) != loaded["answers"][name]:
            return False
        calls = bind(slot.model, app.task, app.threshold)
        if trial.last_label is not None or app.labels is None:
            for row in trial.sample_rows:
                calls.learn(row, trial.last_label, 1.0)
                calls.predict(row)
    except Exception as error:
        log.warning("a model does not survive the upgrade", slot=name, why=str(error))
        return False
    return True


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
    store.save(header(app, plan.shard, machine, offset, fingerprint), store.dump(parts(app, prepared.state)))
