"""Stage: judge what was served at event time, never a re-prediction at label time.

River's own wrappers re-predict when the label comes; with labels 1,000 events late that flatters a model by
up to 14 points. The difference is measured here on one event in `SAMPLE`.
"""

from __future__ import annotations

from typing import Any, Final

from stream_app.flow.core import Core
from stream_app.models.calls import Answer, reply
from stream_app.state.blend import SERVED, BlendState
from stream_app.state.pending import PendingRow
from stream_app.state.slot import Slot

SAMPLE: Final = 32


def score_served(core: Core, row: PendingRow, label: Any) -> list[tuple[Slot, float]]:
    """Score every slot's served prediction; gives (slot, loss) of each that had something to say."""
    state = core.state
    losses: list[tuple[Slot, float]] = []
    for slot, calls in core.calls:
        answer = row.served.get(slot.version)
        if answer is None or answer[0] is None:
            continue
        prediction, probabilities = answer
        loss = slot.scores.update(label, prediction, probabilities)
        losses.append((slot, loss))
        if slot.name == state.serving and row.offset % SAMPLE == 0:
            gap(core, calls, row, label, answer)
    if state.blend is not None:
        score_blend(state.blend, row, label, losses)
    if row.baseline is not None:
        state.baseline.update(label, row.baseline, None)
    return losses


def score_blend(blend: BlendState, row: PendingRow, label: Any, losses: list[tuple[Slot, float]]) -> None:
    """Score what the blend served."""
    answer = row.served.get(SERVED)
    if answer is None or answer[0] is None:
        return
    prediction, probabilities = answer
    loss = blend.slot.scores.update(label, prediction, probabilities)
    losses.append((blend.slot, loss))


def gap(core: Core, calls: Any, row: PendingRow, label: Any, answer: Answer) -> None:
    """Predict the row again with today's champion, so that the flattery of re-prediction can be shown."""
    prediction, probabilities = reply(calls, row.row)
    if prediction is not None:
        core.state.gap_served.update(label, *answer)
        core.state.gap_again.update(label, prediction, probabilities)
