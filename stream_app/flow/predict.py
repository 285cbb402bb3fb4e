"""Stage: every slot predicts the row; only the champion's answer is served, all are kept for scoring."""

from __future__ import annotations

from typing import Any, Final

from stream_app.flow.core import Core, type_of
from stream_app.flow.explain import explained
from stream_app.flow.served import PredictionMade
from stream_app.models.calls import COLD, Answer, Calls, ModelFault
from stream_app.state.blend import BLEND, SERVED, BlendState
from stream_app.state.shard import ShardState
from stream_app.state.slot import Slot

SMOOTH: Final = 0.01  # weight of the newest answer in a slot's `silence`
MOST_CARRIERS: Final = 8  # that a prediction names
TOO_SILENT: Final = 0.1  # 11 events in a row, or one in ten


def serving_slots(core: Core, event_id: str, key: str, row: dict[str, Any], now_ms: int) -> dict[int, Answer]:
    """Predict with each slot and give version → (prediction, probabilities).

    A model that raises or answers NaN gives a cold answer: its row waits for the label like any other, and
    what is learned from it may be what was missing.
    """
    if core.observer is not None:
        core.observer.asked(event_id, row)
    if core.blend is not None:
        return serving_blend(core, core.blend, event_id, key, row, now_ms)
    served: dict[int, Answer] = {}
    for slot, calls in core.serving_calls:
        answer = ask(core, slot, calls, row)
        served[slot.version] = answer
        if slot.name == core.state.serving:
            core.out.add(
                made_of(core, event_id, key, row, now_ms, answer, slot.name, slot.version, slot.learned)
            )
    return served


def made_of(
    core: Core,
    event_id: str,
    key: str,
    row: dict[str, Any],
    now_ms: int,
    answer: Answer,
    model: str,
    version: int,
    learned: int,
) -> PredictionMade:
    """The prediction that an answer is, counted, with what a cold one or the definition asks for."""
    state, (prediction, probabilities), prior = core.state, answer, None
    if prediction is None:
        state.counters.cold += 1
        prior = prior_of(state)
    state.counters.predictions += 1
    offset = core.out.record.offset
    made = PredictionMade(
        event_id, key, now_ms, prediction, probabilities, model, version, learned, offset, prior
    )
    if core.explain:
        made.explanation = explained(core, row, answer)
    return made


def ask(core: Core, slot: Slot, calls: Calls, row: dict[str, Any]) -> Answer:
    """What a slot answers to an event; cold where it has nothing to say."""
    if slot.cold:
        return COLD
    try:
        answer = calls.predict(row)
        if slot.silence:
            slot.silence = slot.silence * (1.0 - SMOOTH) if slot.silence > SMOOTH else 0.0
    except ModelFault as fault:
        unanswered(core, slot, fault)
        return COLD
    return answer


def serving_blend(
    core: Core, blend: BlendState, event_id: str, key: str, row: dict[str, Any], now_ms: int
) -> dict[int, Answer]:
    """The same where all slots answer as one: what is served stands first, under `SERVED`."""
    state = core.state
    served: dict[int, Answer] = {SERVED: COLD}
    for slot, calls in core.serving_calls:
        served[slot.version] = ask(core, slot, calls, row)
    served[SERVED] = answer = blend.answer(served, core.question)
    version, learned = state.served_version, state.champion.learned
    made = made_of(core, event_id, key, row, now_ms, answer, BLEND, version, learned)
    made.weights = carriers(core, blend, served)
    core.out.add(made)
    return served


def carriers(core: Core, blend: BlendState, served: dict[int, Answer]) -> dict[str, float]:
    """The slots that carried an answer, the heaviest first, at most `MOST_CARRIERS`; by name."""
    found = blend.carriers(served)
    heaviest = sorted(found, key=lambda version: (-found[version], version))[:MOST_CARRIERS]
    names = {slot.version: slot.name for slot in core.state.slots}
    return {names[version]: found[version] for version in heaviest}


def unanswered(core: Core, slot: Slot, fault: ModelFault) -> None:
    """Count an answer that could not be given, and alert where many cannot."""
    if slot.name == core.state.serving:
        core.state.counters.unanswered += 1
    slot.silence += SMOOTH * (1.0 - slot.silence)
    if slot.silence > TOO_SILENT:
        text = (
            f"{slot.name} v{slot.version} gave no answer to {slot.silence:.0%} of the newest events, which "
            f"were predicted as cold; the newest cause: {fault}"
        )
        core.out.alert(
            "no-answer",
            text,
            about=slot.name,
            slot=slot.name,
            version=slot.version,
            share=slot.silence,
            error=type_of(fault),
        )


def prior_of(state: ShardState) -> Any:
    """What is known without a model: the share of each class among the labels so far, or the mean target."""
    n = state.counters.labels_learned
    if not n:
        return None
    if state.classify:
        return {label: count / n for label, count in state.class_counts.items()}
    return state.target_sum / n
