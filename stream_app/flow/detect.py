"""Stage: the champion's served loss goes to the declared detectors; an alarm is a hypothesis, told as an
alert.
"""

from __future__ import annotations

from drift.verdicts import State as DriftState
from stream_app.flow.core import Core
from stream_app.flow.outputs import Output
from topics.envelope import Record


def on_loss(core: Core, record: Record, loss: float, out: list[Output]) -> None:
    """Feed one loss (0/1, or the absolute error) to each detector and alert where one says drift."""
    for detector in core.state.detectors:
        verdict = detector.update(loss)
        if verdict is not None and verdict.state is DriftState.DRIFT:
            core.state.counters.drifts += 1
            before, after = verdict.before, verdict.after
            change = f"{before:.3f} before, {after:.3f} now"
            text = f"{detector.name} sees drift in the champion's served loss: {change}"
            core.alert(
                out, record.offset, "drift", "warning", text,
                detector=detector.name, signal="loss", before=before, after=after,
                labels_learned=core.state.counters.labels_learned,
            )  # fmt: skip
