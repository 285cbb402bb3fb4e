"""Stage: every slot learns the row that was stored at event time."""

from __future__ import annotations

from typing import Any

from stream_app.flow.core import Core
from stream_app.flow.outputs import DeadLettered, Output
from stream_app.models.calls import ModelFault
from stream_app.state.pending import PendingRow
from stream_app.state.shard import Slot
from topics import reasons
from topics.envelope import Record


def from_label(
    core: Core, record: Record, row: PendingRow, label: Any, weight: float, out: list[Output]
) -> None:
    """Learn one label with every slot, unless learning is paused; class weights of the definition apply."""
    state = core.state
    if state.paused:
        state.counters.labels_skipped += 1
        return
    if state.classify:
        if label not in state.classes:
            state.classes[label] = type(label)
        state.class_counts[label] = state.class_counts.get(label, 0) + 1
        if core.app.class_weights:
            weight *= core.app.class_weights.get(label, 1.0)
    else:
        state.target_sum += label
    state.last_label = label
    state.counters.labels_learned += 1
    for slot, calls in core.calls:
        try:
            calls.learn(row.row, label, weight)
            slot.learned += 1
        except ModelFault as fault:
            failed(core, record, slot, fault, out)


def without_label(core: Core, record: Record, row: dict[str, Any], out: list[Output]) -> None:
    """Anomaly detection: every slot learns the row right after it was scored."""
    if core.state.paused:
        core.state.counters.labels_skipped += 1
        return
    for slot, calls in core.calls:
        try:
            calls.learn(row, None, 1.0)
            slot.learned += 1
        except ModelFault as fault:
            failed(core, record, slot, fault, out)


def failed(core: Core, record: Record, slot: Slot, fault: ModelFault, out: list[Output]) -> None:
    """A challenger that cannot learn leaves the race; the champion's lost label becomes a dead letter."""
    if slot.name != core.state.serving:
        core.fail_slot(out, slot, record.offset, fault)
        return
    by_reason = core.state.dead_by_reason
    by_reason[reasons.MODEL_ERROR] = by_reason.get(reasons.MODEL_ERROR, 0) + 1
    out.append(DeadLettered(record, reasons.MODEL_ERROR, str(fault), "learn"))
