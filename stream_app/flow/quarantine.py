"""Stage: labels of a source that contradicts all others are held back: scored and counted, not learned."""

from __future__ import annotations

from typing import Any, Final

from drift.sources import LONGEST, Doubt, Verdict
from stream_app.flow.core import Core
from stream_app.state.pending import PendingRow
from topics.alerts import INFO
from topics.envelope import EVENT

# What an alert calls it.
STATES: Final = {Verdict.BEGUN: "held", Verdict.OVER: "over", Verdict.TOO_LONG: "believed"}


def withhold(core: Core, row: PendingRow, label: Any) -> bool:
    """Whether the label is held back. The source is the key; it is judged by what was served."""
    state = core.state
    sources = state.sources
    if sources is None or state.paused:
        return False
    answer = row.champion_answer
    if answer is None or answer[0] is None:
        return False
    prediction = answer[0]
    verdict = sources.judge(row.key, prediction != label, prediction != state.first_class)
    if verdict is Verdict.LEARN:
        return False
    if verdict is not Verdict.HOLD:
        report_verdict(core, sources.last, verdict)
    if verdict is Verdict.HOLD or verdict is Verdict.BEGUN:
        state.counters.labels_held += 1
        state.vigil.last_label_ms = state.log_time_ms  # it came, which is no drought
        return True
    return False


def report_verdict(core: Core, doubt: Doubt, verdict: Verdict) -> None:
    """Alert that a source is held back, or no longer; its key is in the record that is named."""
    record = core.out.record
    known: dict[str, Any] = {"input": "events" if record.rank == EVENT else "labels", "at": record.offset}
    if verdict is Verdict.BEGUN:
        n = doubt.right + doubt.wrong
        known |= {"n": n, "loss": doubt.wrong / n}
        recent = core.state.champion.scores.report()["rolling"]
        if "accuracy" in recent:  # a champion that has just come has none
            known["all_loss"] = 1.0 - recent["accuracy"]
        text = (
            f"{doubt.wrong} of one key's newest {n} labels contradict the predictions, those of other keys "
        )
        text += "do not: its labels are quarantined, not learned"
    elif verdict is Verdict.OVER:
        text = f"a quarantined key agrees again: its labels are learned; {doubt.held} were not"
    else:
        text = f"a key still disagrees after {LONGEST:,} quarantined labels: its labels are learned again"
    known |= {"state": STATES[verdict], "held": min(doubt.held, LONGEST)}
    core.out.alert("source-suspect", text, severity=INFO if verdict is Verdict.OVER else "", **known)
