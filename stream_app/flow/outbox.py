"""What a shard has decided since the last batch of outputs was taken, in order, and the record in hand."""

from __future__ import annotations

from typing import Any, Final

from stream_app.flow.outputs import AlertRaised, DeadLettered, Output, ReceiptWritten
from stream_app.state.shard import ShardState
from stream_app.state.slot import Slot
from topics import reasons
from topics.alerts import ALERTS
from topics.codec import Rejected
from topics.envelope import COMMAND, EVENT, LABEL, Record

NEVER_SUPPRESSED: Final = {"swap", "rollback", "source-suspect"}
NOTHING: Final = Record(COMMAND, -1, 0, None, None, None)  # in hand before the first record


class Outbox:
    """Collects outputs; alerts, dead letters and receipts take their place and time from `record`."""

    def __init__(self, app_name: str, state: ShardState) -> None:
        self.app_name = app_name
        self.state = state
        self.record: Record = NOTHING
        self.outputs: list[Output] = []

    def add(self, output: Output) -> None:
        """Append one output."""
        self.outputs.append(output)

    def alert(
        self, kind: str, message: str, *, about: str = "", severity: str = "", **evidence: object
    ) -> None:
        """Emit an alert with an id that a replay gives again, at most once per cool-down and subject.

        `about` separates subjects of one type; `severity` is the type's own unless another is given.
        """
        state = self.state
        subject = f"{kind} {about}"
        now = state.counters.events + state.counters.labels
        if kind not in NEVER_SUPPRESSED:
            if state.vigil.is_suppressed(subject, now):
                return
            held = state.vigil.mark_raised(subject, now)
            if held:
                evidence["held_back"] = held
        severity = severity or ALERTS[kind].severity
        state.counters.alerts += 1
        alert_id = f"{self.app_name}/{state.shard}/{kind}/{self.record.offset}/{state.counters.alerts}"
        self.add(AlertRaised(alert_id, kind, severity, state.log_time_ms, message, dict(evidence)))

    def dead_letter(self, fault: Rejected, stage: str = "validate") -> None:
        """Send the record in hand to the dead letters, and count it by input and reason.

        At stage `learn` an event stays predicted, so it is not counted as a dead one.
        """
        counters, by_reason = self.state.counters, self.state.dead_by_reason
        if self.record.rank == LABEL:
            counters.dead_labels += 1
        elif self.record.rank != EVENT:
            counters.dead_commands += 1
        elif stage != "learn":
            counters.dead_events += 1
        by_reason[fault.reason] = by_reason.get(fault.reason, 0) + 1
        self.add(DeadLettered(self.record, fault.reason, fault.message, stage))

    def receipt(self, slot: Slot, why: str, status: str, **known: Any) -> None:
        """Report what has become of a slot, and what else is known of it."""
        about = {"kind": slot.kind, "parent": slot.parent, "status": status, **known}
        now = self.state.log_time_ms
        self.add(ReceiptWritten(slot.name, slot.version, status == "serving", why, now, **about))

    def pending_receipts(self) -> None:
        """Emit the receipts of models that were made since the last batch."""
        state = self.state
        for slot in state.slots:
            if slot.version in state.untold:
                status = "serving" if slot.name == state.serving else "challenger"
                self.receipt(slot, state.untold[slot.version], status)
        state.untold = {}


def model_error(fault: Exception) -> Rejected:
    """The fault of a row that the champion could not learn."""
    return Rejected(reasons.MODEL_ERROR, str(fault))
