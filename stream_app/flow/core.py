"""The state machine's parts that are not state: the definition, the window functions and the bound model
calls.
"""

from __future__ import annotations

from stream_app.application import Application
from stream_app.flow.outputs import AlertRaised, ModelBorn, Output
from stream_app.models.calls import Calls, bind
from stream_app.state.shard import ShardState, Slot
from stream_app.state.windows import Windows


class Core:
    """Definition and state of one shard, joined; rebuilt from both after every restore."""

    def __init__(self, app: Application, state: ShardState) -> None:
        self.app = app
        self.state = state
        self.windows = Windows(app.features)
        self.has_features = bool(app.features)
        self.horizon_ms = app.labels.horizon_ms if app.labels else 0
        self.rebind()

    def rebind(self) -> None:
        """Bind the calls of every living slot; needed whenever a slot is added, dropped or fails."""
        living = [slot for slot in self.state.slots if slot.failed is None]
        self.calls: list[tuple[Slot, Calls]] = [
            (slot, bind(slot.model, self.app.task, self.app.threshold)) for slot in living
        ]
        # The champion predicts first: when it fails, the event is refused before anything else has run.
        self.calls.sort(key=lambda pair: pair[0].name != self.state.serving)

    def alert(
        self, out: list[Output], offset: int, kind: str, severity: str, message: str, **evidence: object
    ) -> None:
        """Raise an alert whose id derives from what caused it."""
        state = self.state
        state.counters.alerts += 1
        alert_id = f"{self.app.name}/{state.shard}/{kind}/{offset}/{state.counters.alerts}"
        out.append(AlertRaised(alert_id, kind, severity, state.log_time_ms, message, dict(evidence)))

    def fail_slot(self, out: list[Output], slot: Slot, offset: int, fault: Exception) -> None:
        """Take a challenger whose model raised out of the race; its fault is told once."""
        slot.failed = str(fault)
        self.rebind()
        self.alert(
            out, offset, "challenger-failed", "warning", f"challenger {slot.name}: {fault}", slot=slot.name
        )


def births(core: Core, out: list[Output]) -> None:
    """Tell the receipts of models that came to be since the last batch."""
    state = core.state
    out.extend(
        ModelBorn(slot.name, slot.version, slot.name == state.serving, state.untold[slot.version])
        for slot in state.slots
        if slot.version in state.untold
    )
    state.untold = {}
