"""Stage: every slot predicts the row; only the champion's answer is served, all are kept for scoring."""

from __future__ import annotations

from typing import Any

from stream_app.flow.core import Core
from stream_app.flow.outputs import Output
from stream_app.flow.served import PredictionMade
from stream_app.models.calls import ModelFault
from stream_app.state.shard import ShardState
from topics.envelope import Record


def every_slot(
    core: Core, record: Record, event_id: str, key: str, row: dict[str, Any], now_ms: int, out: list[Output]
) -> dict[int, tuple[Any, Any]]:
    """Predict with each slot and give version → (prediction, probabilities).

    Raises:
        ModelFault: the champion failed; nothing was decided, refuse the event.
    """
    counters = core.state.counters
    served: dict[int, tuple[Any, Any]] = {}
    for slot, calls in core.serving_calls:
        try:
            answer = calls.predict(row)
        except ModelFault as fault:
            if slot.name == core.state.serving:
                raise
            core.fail_slot(out, slot, record.offset, fault)
            continue
        served[slot.version] = answer
        if slot.name == core.state.serving:
            prediction, probabilities = answer
            prior = None
            if prediction is None:
                counters.cold += 1
                prior = prior_of(core.state)
            counters.predictions += 1
            out.append(
                PredictionMade(
                    event_id, key, now_ms, prediction, probabilities, slot.name, slot.version, slot.learned,
                    record.offset, prior,
                )
            )  # fmt: skip
    return served


def prior_of(state: ShardState) -> Any:
    """What is known without a model: the share of each class among the labels so far, or the mean target."""
    n = state.counters.labels_learned
    if not n:
        return None
    if state.classify:
        return {label: count / n for label, count in state.class_counts.items()}
    return state.target_sum / n
