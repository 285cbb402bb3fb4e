"""Stage: every slot learns the row that was stored at event time."""

from __future__ import annotations

from typing import Any

from stream_app.flow.core import Core, type_of
from stream_app.flow.outbox import model_error
from stream_app.models.calls import ModelFault
from stream_app.state import vocabulary
from stream_app.state.pending import PendingRow


def from_label(
    core: Core,
    row: PendingRow,
    label: Any,
    weight: float,
    *,
    expired: bool = False,
) -> None:
    """Learn one label with every slot, unless learning is paused; class weights of the definition apply.

    `expired`: the record in hand did not carry the label, it moved time past the row's horizon.
    """
    state = core.state
    if state.paused:
        state.counters.labels_skipped += 1
        return
    new = state.classify and label not in state.classes
    if state.classify:
        state.classes[label] = type(label)
        if core.class_weights:
            weight *= core.class_weights.get(label, 1.0)
    state.last_label = label
    state.recent.append((row.row, label, weight))
    for slot, calls in core.learning_calls:
        try:
            calls.learn(row.row, label, weight)
        except ModelFault as fault:
            if slot.name != state.serving:
                core.fail_slot(slot, fault)
                continue
            vocabulary.forget(state, row.row)
            state.recent.pop()
            if new:
                del state.classes[label]
            if expired:
                text = f"the champion could not learn the default label of an expired row: {fault}"
                core.out.alert(
                    "champion-failed",
                    text,
                    slot=slot.name,
                    event_offset=row.offset,
                    label=label,
                    error=type_of(fault),
                )
            else:
                core.out.dead_letter(model_error(fault), "learn")
            continue
        slot.learned += 1
        if slot.name == state.serving:
            count(core, label)
            vocabulary.learned(state, row.row)


def count(core: Core, label: Any) -> None:
    """Add a label that the champion has learned to what a cold model's prior is made of."""
    state = core.state
    state.counters.labels_learned += 1
    if state.classify:
        state.class_counts[label] = state.class_counts.get(label, 0) + 1
    else:
        state.target_sum += label


def without_label(core: Core, row: dict[str, Any]) -> None:
    """Anomaly detection: every slot learns the row right after it was scored."""
    state = core.state
    if state.paused:
        state.counters.labels_skipped += 1
        return
    for slot, calls in core.learning_calls:
        try:
            calls.learn(row, None, 1.0)
        except ModelFault as fault:
            if slot.name != state.serving:
                core.fail_slot(slot, fault)
            else:
                vocabulary.forget(state, row)
                core.out.dead_letter(model_error(fault), "learn")
            continue
        slot.learned += 1
        if slot.name == state.serving:
            vocabulary.learned(state, row)
