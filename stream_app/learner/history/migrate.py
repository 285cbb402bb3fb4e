"""What of an old definition's state a new one goes on with, slot by slot and part by part."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from math import isclose
from typing import Any

import msgspec
import structlog

from stream_app.application import Application
from stream_app.errors import MACHINE, Refused
from stream_app.learner.recovery.snapshots import sample_answers
from stream_app.models.calls import bind, reply
from stream_app.state import vocabulary
from stream_app.state.shard import ShardState
from stream_app.state.slot import CHAMPION, DECLARED, Slot

SETTLE = (
    "Run the definition and libraries that it was recorded with once more "
    "(`stream-app learn … --exit-when-idle 1`)"
)
FROM_LOG = "from the retained inputs: `stream-app upgrade MODULE:APP --from-log`"
# Everything but slots, bounded stores and what belongs to a definition's part.
ALWAYS = (
    "log_time_ms", "paused", "dead_by_reason", "next_version", "class_counts",
    "target_sum", "last_label", "baseline", "gap_served", "gap_again", "sample_rows", "misplaced",
    "pending_overflowed", "commands", "command_order", "vigil", "cause", "champion_version",
    "champion_before",
)  # fmt: skip
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
log = structlog.get_logger()


class Unreadable(Refused):
    """A snapshot that cannot be loaded: an older one may be."""


class MigrationReport(msgspec.Struct):
    """What the new state took over and what starts fresh in it."""

    carried: list[str] = []
    fresh: list[str] = []


def carry(
    app: Application,
    shard: int,
    head: Mapping[str, Any],
    now: Mapping[str, Any],
    load: Callable[[], Any],
    started: MigrationReport,
    restart: Collection[str] = (),
    version: int = 0,
) -> ShardState:
    """The new definition's state with what the old one's still fits.

    Slots of the origins `restart` start fresh and are not called. Fresh slots get versions above `version`.

    Raises:
        Refused: another task, or a snapshot that cannot be read.
    """
    before, after = head["fingerprint"]["definition"], now["definition"]
    if before["task"] != after["task"]:
        raise Refused(
            f"the task changed from {before['task']} to {after['task']}", "Another task needs another name="
        )
    try:
        loaded, trial = load(), load()
    except Exception as error:
        raise Unreadable(
            f"shard {shard}: the snapshot cannot be read ({error})", f"{SETTLE}, or start {FROM_LOG}"
        ) from error
    old: ShardState = loaded["state"]
    old.next_version = max(old.next_version, version + 1)
    new = ShardState(app, shard)
    fresh = {slot.name: slot for slot in new.slots}
    same = {part: before.get(part) == after[part] for part in ("features", "drift", "swap")}
    closed = app.labels is not None and app.labels.classes is not None
    adopt(old, new, same_features=same["features"], same_drift=same["drift"], closed=closed)
    living = [
        slot
        for slot in old.slots
        if slot.origin not in restart
        and before["slots"].get(slot.origin, 0) == after["slots"].get(slot.origin)
        and survives(app, slot.name, head.get("answers", {}), trial["state"])
    ]
    same["swap"] = same["swap"] and len(living) == len(old.slots)
    if not same["swap"]:  # a search under other rules starts again, without its candidates
        living = [slot for slot in living if slot.kind == DECLARED or slot.name == old.serving]
    new.slots, new.untold = living, {}
    started.carried += [slot.name for slot in living]
    known = {slot.name for slot in old.slots}
    for name in (CHAMPION, *app.challengers):
        if any(slot.origin == name for slot in living):
            continue
        why = "upgrade: its definition changed" if name in known else "upgrade: new in the definition"
        why = "upgrade: restarted by an operator" if name in restart else why
        renew(new, fresh[name], why)
        started.fresh.append(name)
    serve(old, new)
    if same["swap"]:
        new.policy = old.policy
    if new.blend is not None:
        before_blend = getattr(old, "blend", None)
        if before_blend is not None and before_blend.mixture.rule == new.blend.mixture.rule:
            new.blend = before_blend
        new.blend.agree([slot.version for slot in new.slots if slot.failed is None])
    parts = {"features of entities": "features", "detectors": "drift", "hunts and races": "swap"}
    for name, part in parts.items():
        (started.carried if same[part] else started.fresh).append(name)
    started.carried.append("pending rows and ids")
    return new


def renew(new: ShardState, slot: Slot, why: str) -> None:
    """A slot of the new definition under a version of its own."""
    slot.version = new.next_version
    new.next_version += 1
    new.untold[slot.version] = why
    new.slots.append(slot)


def serve(old: ShardState, new: ShardState) -> None:
    """The champion goes on; where it could not come along one of its origin serves, else the definition's."""
    names = {slot.name: slot for slot in new.slots}
    origins = {slot.origin: slot for slot in reversed(new.slots)}
    champion = names.get(old.serving) or origins.get(old.champion.origin) or origins[CHAMPION]
    new.serving, new.champion_version = champion.name, champion.version
    if champion.name != old.serving:
        new.champion_before = None


def adopt(old: ShardState, new: ShardState, *, same_features: bool, same_drift: bool, closed: bool) -> None:
    """Everything but the slots, under the new definition's bounds; `closed`: it declares its classes."""
    for name in ALWAYS:
        setattr(new, name, getattr(old, name))
    new.counters.copy_from(old.counters)
    # A snapshot from before they kept their order holds sets.
    new.categories = {name: dict.fromkeys(seen, True) for name, seen in old.categories.items()}
    new.category_bytes = sum(vocabulary.n_bytes(text) for seen in new.categories.values() for text in seen)
    new.recent.extend(old.recent)
    declared = new.kinds
    new.kinds = {**old.kinds, **declared}
    for name in ("unproven", "type_from"):  # older snapshots have neither
        known = getattr(old, name, {})
        setattr(new, name, {feature: at for feature, at in known.items() if feature not in declared})
    kept = {label: kind for label, kind in old.classes.items() if not closed or label in new.classes}
    new.classes = {**new.classes, **kept}
    for name in ("pending", "parked"):
        waiting = getattr(old, name)
        bounds = getattr(new, name)
        waiting.limit, waiting.limit_bytes = bounds.limit, bounds.limit_bytes
        setattr(new, name, waiting)
    old.ids.width_ms, old.ids.limit = new.ids.width_ms, new.ids.limit
    new.ids = old.ids
    if same_features:
        old.entities.ttl_ms, old.entities.limit = new.entities.ttl_ms, new.entities.limit
        new.entities = old.entities
    if same_drift:
        new.monitors = old.monitors
    if new.sources is not None:
        new.sources = getattr(old, "sources", None) or new.sources  # older snapshots have none
    if hasattr(old, "presence"):  # older snapshots have none
        new.presence.nulls = old.presence.nulls
    if old.race_loss.name == new.race_loss.name and hasattr(old.race_loss, "ordered"):  # older ones lack it
        new.race_loss = old.race_loss


def survives(app: Application, name: str, answers: Mapping[str, Any], trial: ShardState) -> bool:
    """The model answers as it did when it was saved, and can still learn; `trial` is a copy to try it on.

    Its last digits may differ: an upgrade may be due to a machine or a library that computes other bits.
    """
    slot: Slot = next(slot for slot in trial.slots if slot.name == name)
    if slot.failed is not None or name not in answers:
        return False
    try:
        found, saved = sample_answers(app, slot.model, trial.sample_rows, cold=slot.cold), answers[name]
        if len(found) != len(saved) or not all(map(alike, found, saved)):
            return False
        calls = bind(slot.model, app.question)
        if trial.last_label is not None or app.labels is None:
            for row in trial.sample_rows:
                calls.learn(row, trial.last_label, 1.0)
                reply(calls, row)
    except MACHINE:
        raise
    except Exception as error:
        log.warning("a model does not survive the upgrade", slot=name, why=str(error))
        return False
    return True


def alike(one: str, other: str) -> bool:
    """Whether two answers as text are the same but for the last digits of their numbers.

    >>> alike("(True, {True: 0.7500000000000001})", "(True, {True: 0.75})")
    True
    >>> alike("(True, None)", "(False, None)"), alike("(0.75, None)", "(0.76, None)")
    (False, False)
    """
    numbers = zip(NUMBER.findall(one), NUMBER.findall(other), strict=False)
    return NUMBER.sub("#", one) == NUMBER.sub("#", other) and all(
        isclose(float(a), float(b), rel_tol=1e-6, abs_tol=1e-9) for a, b in numbers
    )
