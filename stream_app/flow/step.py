"""The only place that orders the stages: `apply_records` runs them live and in replays.

    record  → read: bytes become an event, a label or a command
    event   → validate → dedupe → feature row → predict with every slot → detect → remember as pending
    label   → join its pending row → score the SERVED predictions → quarantine → compare → detect
              → weigh the blend → learn the stored row → decide: swap, roll back, start or end a hunt
    command → journaled like any record
    time    → each accepted record moves log time; rows past the horizon expire (dropped or labelled)

Nothing here reads a clock, rolls dice or sends: same state and same records give the same output bytes.
Whatever is refused is refused before log time moves, so a bad record leaves no trace but its dead letter.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from stream_app.flow import blend, bounds, commands, detect, learn, orders, predict, quarantine, score, swap
from stream_app.flow.core import Core
from stream_app.flow.outputs import EntityDropped
from stream_app.flow.read import read
from stream_app.flow.record_rules import is_known_numeric
from stream_app.flow.served import FeaturesChanged
from stream_app.flow.validate import as_models_see, label_fault
from stream_app.state import vocabulary
from stream_app.state.entities import Entity
from stream_app.state.ids import NO_LABEL
from stream_app.state.pending import ParkedLabel, PendingRow
from topics import reasons
from topics.codec import Rejected
from topics.envelope import EVENT, LABEL, Record

SAMPLE_ROWS: Final = 32  # one row in this many is kept for the smoke test of snapshots
# mypyc inlines Final constants; other names of a module cost a dictionary lookup.
NO_INLINE_LABEL: Final = UNSET


def step(core: Core, record: Record) -> None:
    """Apply one record to the shard; what it decides is in `core.out`. Never raises for bad input."""
    apply(core, record, read(record))


def decode_records(records: list[Record]) -> list[Any]:
    """Read some records, which leaves the caches to what is done with them."""
    return list(map(read, records))


def apply_records(core: Core, records: list[Record], found: list[Any]) -> None:
    """Apply records in order. Consumes `found`, the decoded records: each is freed while it is cached."""
    found.reverse()
    for record in records:
        apply(core, record, found.pop())


def apply(core: Core, record: Record, found: Any) -> None:
    """Apply a record that was read: `found` is what `read` made of it."""
    core.out.record = record
    if record.rank == EVENT:
        on_event(core, found)
    elif record.rank == LABEL:
        on_label(core, found)
    else:
        on_command(core, found)


def on_event(core: Core, found: Any) -> None:
    """Predict an event, and learn it at once where it carries its label."""
    app, state, record = core.app, core.state, core.out.record
    state.counters.events += 1
    if isinstance(found, Rejected):
        return refuse(core, found)
    key, event, content = found
    event_id, features, label = event.event_id, event.features, event.label
    plain = core.rules.plain and is_known_numeric(state.kinds, features, core.rules.max_features)
    found = features if plain else as_models_see(core, features)
    fault: Rejected | None = found if isinstance(found, Rejected) else None
    inline = label is not NO_INLINE_LABEL
    if fault is None and inline:
        fault = label_fault(app, state, label)
    if fault is not None:
        detect.contradicted(core, fault, features)
        return refuse(core, fault)
    if is_known(core, event_id, content):
        return None

    sent, features = features, found
    now = advance_log_time(core)
    entity = state.entities.get(key, now) if core.has_features else None
    row = core.windows.row(entity[2] if entity else None, now) if core.has_features else {}
    row.update(features)
    served = predict.serving_slots(core, event_id, key, row, now)
    detect.placement(core)
    detect.on_event(core, features, row, served)
    if not plain:
        if features is not sent:
            bounds.changed(core, sent, features)
        detect.many_strings(core, vocabulary.took(state, features, record.offset, core.rules.texts))
    if record.offset % SAMPLE_ROWS == 0:
        state.sample_rows.append(row)
    if core.has_features:
        update_entity(core, key, entity, features)

    if state.ids.add(event_id, content, label if inline and core.has_labels else NO_LABEL, now):
        bounds.ids_go_early(core)
    if not core.has_labels:
        return learn.without_label(core, row)
    pending = PendingRow(key, now, record.offset, row, served, state.last_label, len(record.value or b""))
    if state.blend is not None:
        pending.votes = state.blend.votes(served, state.counters.labels_learned)
    if inline:
        return resolve_label(core, pending, label, 1.0)
    while state.pending.full(pending.size):
        expire_oldest(core)
    state.pending.put(event_id, pending)
    early = state.parked.pop(event_id)
    if early is not None:
        core.out.record = early.record
        apply_label(core, event_id, early.key, early.label, early.weight)
    return None


def is_known(core: Core, event_id: str, content: int) -> bool:
    """Whether the id of an event came before: the same event again is counted, another one is refused."""
    state = core.state
    known = state.ids.get(event_id)
    if known is not None and known[0] == content:
        state.counters.duplicate_events += 1
        return True
    if known is None and event_id not in state.pending.items:
        return False
    text = f"event_id {event_id!r} came before with other content; give every event its own id"
    if known is None:
        text = f"an event {event_id!r} still waits for its label; give each its own id, or raise max_ids"
    refuse(core, Rejected(reasons.EVENT_ID_REUSED, text))
    return True


def update_entity(core: Core, key: str, entity: Entity | None, features: dict[str, Any]) -> None:
    """The event becomes part of what is known of its entity."""
    now, offset = core.state.log_time_ms, core.out.record.offset
    if entity is None:
        entity = [now, offset, core.windows.new()]
        gone = core.state.entities.add(key, entity)
        if gone is not None:
            core.out.add(EntityDropped(gone))
            if core.state.entities.evicted == 1:
                bounds.entities_go_early(core)
    entity[0], entity[1] = now, offset
    core.windows.update(entity[2], now, features)
    core.out.add(FeaturesChanged(key))


def on_label(core: Core, found: Any) -> None:
    """Join a label with its event, or park it until the event comes."""
    app, state, record = core.app, core.state, core.out.record
    state.counters.labels += 1
    if isinstance(found, Rejected):
        return refuse(core, found)
    key, label = found
    event_id = label.event_id
    row = state.pending.items.get(event_id)
    known = state.ids.get(event_id) if row is None else None
    earlier = state.parked.items.get(event_id) if row is None and known is None else None
    before = known[1] if known else earlier.label if earlier else NO_LABEL
    if before is not NO_LABEL:
        if before == label.label and type(before) is type(label.label):
            state.counters.duplicate_labels += 1
            return None
        text = f"event {event_id!r} has another label already; the first valid one counts"
        return refuse(core, Rejected(reasons.LABEL_CONTRADICTORY, text))
    fault = label_fault(app, state, label.label)
    now = max(record.time_ms, state.log_time_ms)
    if fault is None and row is not None and row.key != key:
        fault = Rejected(reasons.LABEL_OTHER_KEY, f"event {event_id!r} has another key; use its event's key")
    elif fault is None and ((row is not None and row.time_ms + core.horizon_ms < now) or known is not None):
        fault = Rejected(reasons.LABEL_LATE, f"the label came after the horizon of {core.horizon_ms} ms")
    elif fault is None and row is None and state.parked.full(len(record.value or b"")):
        text = "no such event yet, and no room to wait; raise max_parked or max_waiting_bytes"
        fault = Rejected(reasons.LABEL_ORPHAN, text)
    if fault is not None:
        detect.contradicted(core, fault, {})
        return refuse(core, fault)
    advance_log_time(core)
    detect.placement(core)
    if row is not None:
        return apply_label(core, event_id, key, label.label, label.weight)
    return state.parked.put(event_id, ParkedLabel(key, now, label.label, label.weight, record))


def apply_label(core: Core, event_id: str, key: str, label: object, weight: float) -> None:
    """Join a label with its pending row: checked again, for a parked label meets another state."""
    fault = label_fault(core.app, core.state, label)
    row = core.state.pending.items[event_id]
    if fault is None and row.key != key:
        fault = Rejected(reasons.LABEL_OTHER_KEY, f"event {event_id!r} has another key; use its event's key")
    if fault is not None:
        return refuse(core, fault)
    core.state.pending.pop(event_id)
    core.state.ids.set_label(event_id, label)
    return resolve_label(core, row, label, weight)


def resolve_label(core: Core, row: PendingRow, label: Any, weight: float, *, expired: bool = False) -> None:
    """A row has its label: score what was served, let the detectors judge the loss, then learn.

    `expired`: the label is the default one, which no record carried.
    """
    state = core.state
    if core.observer is not None:
        core.observer.labelled(row, label, expired=expired)
    losses = score.score_served(core, row, label)
    if not expired and quarantine.withhold(core, row, label):  # a default label has no source
        return
    if core.races_standing and not state.paused:
        swap.compare_challengers(core, row, label)
    racing = state.policy.open and not state.paused
    champion_loss = swap.compare_candidates(core, row, label) if racing else None
    opened = detect.on_label(core, row, label, losses, champion_loss, expired=expired)
    if state.blend is not None and not state.paused:
        blend.learn(core, state.blend, row, label)
    learn.from_label(core, row, label, weight, expired=expired)
    if state.paused:
        return
    if opened is not None:
        swap.start_candidates(core, opened)
    swap.decide(core)


def on_command(core: Core, command: Any) -> None:
    """Carry out an operator's command."""
    core.state.counters.commands += 1
    if isinstance(command, Rejected):
        return refuse(core, command)
    advance_log_time(core)
    for key in commands.apply_command(core, command, orders.HANDLERS):
        core.out.add(EntityDropped(key))
    return None


def advance_log_time(core: Core) -> int:
    """Move log time to the record's, never back, expire what is past its horizon, give log time in ms."""
    state, record = core.state, core.out.record
    if record.time_ms > state.log_time_ms:
        state.log_time_ms = record.time_ms
    now = state.log_time_ms
    if state.pending.queue or state.parked.queue:
        before_ms = now - core.horizon_ms
        while (row := state.pending.expired(before_ms)) is not None:
            expire(core, row[1])
        while (parked := state.parked.expired(before_ms)) is not None:
            text = f"no event {parked[0]!r} came within the horizon of {core.horizon_ms} ms"
            core.out.record = parked[1].record
            refuse(core, Rejected(reasons.LABEL_ORPHAN, text))
            core.out.record = record
    return now


def expire(core: Core, row: PendingRow) -> None:
    """The horizon has passed without a label: learn the default one, or let the row go; counted."""
    labels = core.app.labels
    core.state.counters.labels_expired += 1
    if labels is not None and labels.on_timeout == "label":
        resolve_label(core, row, labels.default, 1.0, expired=True)
    elif core.observer is not None:
        core.observer.unlabelled(row)


def expire_oldest(core: Core) -> None:
    """Make room for a new row: the oldest one expires before its time; the first time raises an alert."""
    oldest = core.state.pending.oldest()
    if oldest is None:
        return
    core.state.pending.pop(oldest[0])
    if not core.state.pending_overflowed:
        core.state.pending_overflowed = True
        bounds.rows_expire_early(core)
    expire(core, oldest[1])


def crash(core: Core, record: Record, why: str) -> None:
    """A record that ended the shard's work at each attempt: it is not read, and moves nothing but counts."""
    core.out.record, counters = record, core.state.counters
    if record.rank == EVENT:
        counters.events += 1
    elif record.rank == LABEL:
        counters.labels += 1
    else:
        counters.commands += 1
    refuse(core, Rejected(reasons.CRASH, why), "crash")


def refuse(core: Core, fault: Rejected, stage: str = "validate") -> None:
    """Send the record in hand to the dead letters, and look at the share of refusals now and then."""
    counters = core.state.counters
    core.out.dead_letter(fault, stage)
    if (counters.dead_events + counters.dead_labels) % detect.LOOK_EVERY == 0:
        detect.check_labels_and_refusals(core)
