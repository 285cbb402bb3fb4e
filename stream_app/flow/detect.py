"""Stage: signals go to their detectors; an alarm is a hypothesis, raised as an alert with what it saw."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final

from drift.monitors import LABEL_EVERY, Alarm
from drift.policy import SearchOpened
from drift.presence import Missed
from drift.signals import LOSS
from drift.verdicts import State as DriftState
from stream_app.flow.core import Core
from stream_app.models.calls import Answer
from stream_app.state import vocabulary
from stream_app.state.pending import PendingRow
from stream_app.state.slot import DECLARED, Slot
from stream_app.state.vigil import Alarmed
from topics import reasons
from topics.alerts import INFO
from topics.codec import Rejected
from topics.placement import partition_for

LOOK_EVERY: Final = 100  # events, or refused records, between two looks at missing labels and at refusals
DROUGHT_DELAYS = 5.0  # usual label delays without a label, beside `DROUGHT_MS`
DROUGHT_MS = 60_000
DROUGHT_HORIZON = 0.9  # of the horizon at most: a row that waits longer is gone before it is looked at
POISON_BLOCK = 1_000  # records
POISON_SHARE = 0.05
BASELINE_EVERY: Final = 1_000  # events between two comparisons with the baseline, and labels that both need
BASELINE_NOISE: Final = 0.02  # of the baseline's score: to be worse by less says nothing
PLACEMENT_ALWAYS: Final = 1_000  # records of a shard are all checked; murmur2 in Python costs 10 µs
PLACEMENT_SAMPLE: Final = 16  # after that, one offset in this many
NEW: Final = 2_048  # offsets within which a name first came that may stand for one that is missed
SMOOTH: Final = 0.01  # weight of a new label's delay in the running mean


def on_event(core: Core, features: dict[str, Any], row: dict[str, Any], served: dict[int, Any]) -> None:
    """An event was predicted: watch its features and the answer, and whether labels still come."""
    state = core.state
    if not state.monitors.count_unless_due():
        lacking = state.presence.look(features)
        for missed in state.presence.end_block():
            report_missed(core, missed)
        feed_detectors(core, row, served.get(core.served.version), lacking)
    if state.counters.events % LOOK_EVERY == 0:
        check_labels_and_refusals(core)
    if core.has_labels and state.counters.events % BASELINE_EVERY == 0:
        check_baseline(core)


def check_baseline(core: Core) -> None:
    """Alert when what was served is worse than predicting the previous label, over the newest 1,000."""
    state = core.state
    name = "accuracy" if state.classify else "mae"
    champion = core.served
    own, base = champion.scores.report()["rolling"], state.baseline.report()["rolling"]
    if min(own["n"], base["n"]) < BASELINE_EVERY:
        return
    behind = (base[name] - own[name]) * (1 if state.classify else -1)
    if behind <= BASELINE_NOISE * abs(base[name]):
        return
    text = (
        f"{champion.name} v{champion.version} is worse than predicting the previous label: {name} "
        f"{own[name]:.3g} against {base[name]:.3g} over the newest {own['n']:,.0f} labels"
    )
    core.out.alert(
        "worse-than-baseline",
        text,
        metric=name,
        score=own[name],
        baseline=base[name],
        slots={s.name: s.scores.report()["rolling"].get(name) for s in state.slots},
    )


def report_missed(core: Core, missed: Missed) -> None:
    """Alert of a feature that most events had, or that the definition names and no event has."""
    name, named, since = missed.name, core.app.named, core.out.record.offset - NEW
    text = f"feature {name!r} is in {missed.share:.0%} of the newest events; nearly all had it before"
    if not missed.usual:
        text = f"feature {name!r}, which the definition names, is in none of the newest events"
    others = [
        other
        for other in core.state.kinds
        if other not in named and (not missed.usual or core.state.type_from.get(other, -1) > since)
    ]
    near = get_close_matches(name, [other for other in others if other != name], 1)
    text += f". A feature {near[0]!r} comes: is it meant?" if near else ""
    core.out.alert("feature-missing", text, about=name, feature=name, share=missed.share)


def feed_detectors(core: Core, row: dict[str, Any], answer: Answer | None, lacking: float | None) -> None:
    """An event whose turn it is: its features and the champion's answer go to their detectors."""
    prediction, positive = None, None
    if answer is not None and answer[0] is not None:
        prediction, probabilities = answer
        if probabilities is not None and type(prediction) is bool:
            positive = probabilities.get(True, 0.0)
        elif core.state.classify and type(prediction) is int:
            prediction = str(prediction)  # a class, not a number
    texts = core.rules.texts
    if texts:  # each is another one: their distribution says nothing
        row = {name: value for name, value in row.items() if name not in texts}
    for alarm in core.state.monitors.on_event(row, prediction, positive, lacking):
        report_alarm(core, alarm)


def contradicted(core: Core, fault: Rejected, features: dict[str, Any]) -> None:
    """A record is refused: alert if most of the newest contradict a type, or the classes, that few set."""
    state = core.state
    if fault.reason == reasons.LABEL_UNKNOWN_CLASS:
        name, first = vocabulary.LABEL, ", ".join(map(repr, list(state.classes)[:3]))
        text = f"of the newest labels are not among the first classes ({first})"
    elif fault.reason == reasons.BAD_FEATURE:
        odd = [
            (name, kind)
            for name, kind in state.kinds.items()
            if name in features
            and name not in core.rules.times
            and vocabulary.KINDS.get(type(features[name]), kind) != kind
        ]
        if not odd:
            return
        name, kind = odd[0]
        came = f"came from offset {state.type_from[name]}" if name in state.type_from else "is declared"
        text = f"of the newest events have another type than {kind} in feature {name!r}; that type {came}"
    else:
        return
    found = vocabulary.contradiction(state, name)
    if found is not None:
        text = f"{found[1]:.0%} {text}: they are refused"
        core.out.alert(
            "contradiction",
            text,
            about=name or "label",
            name=name or "label",
            records=found[0],
            share=found[1],
        )


def check_labels_and_refusals(core: Core) -> None:
    """Label drought in log time, and the share of events and of labels that were refused."""
    state, counters = core.state, core.state.counters
    vigil, now = state.vigil, state.log_time_ms
    if core.horizon_ms and state.pending.items:
        since = max(vigil.last_label_ms, next(iter(state.pending.items.values())).time_ms)
        usual = DROUGHT_DELAYS * vigil.delay_ms + DROUGHT_MS if vigil.last_label_ms else core.horizon_ms / 2
        if now - since > min(usual, DROUGHT_HORIZON * core.horizon_ms):
            text = f"no label for {(now - since) / 1000:.0f} s of log time; {len(state.pending)} rows wait"
            core.out.alert(
                "label-drought",
                text,
                silent_ms=now - since,
                usual_delay_ms=round(vigil.delay_ms),
                pending=len(state.pending),
            )
    seen = counters.events + counters.labels
    dead = counters.dead_events + counters.dead_labels
    n = seen - vigil.seen
    if n < POISON_BLOCK:
        return
    events, dead_events = counters.events - vigil.events, counters.dead_events - vigil.dead_events
    of_events = dead_events / max(1, events)
    of_labels = (dead - vigil.dead - dead_events) / max(1, n - events)
    vigil.seen, vigil.dead, vigil.events, vigil.dead_events = (
        seen,
        dead,
        counters.events,
        counters.dead_events,
    )
    # Each by itself: events that are refused must not hide behind labels that come twice as often.
    share, what = max((of_events, "events"), (of_labels, "labels"))
    if share > POISON_SHARE:
        text = f"{share:.0%} of the newest {what} were refused; see the dead letters"
        core.out.alert("poison-rate", text, share=share, records=what, reasons=dict(state.dead_by_reason))


def on_label(
    core: Core,
    row: PendingRow,
    label: Any,
    losses: list[tuple[Slot, float]],
    champion_loss: float | None,
    *,
    expired: bool = False,
) -> SearchOpened | None:
    """A label met its row: feed losses, labels and their delay; what a search is to start, if one opens.

    `champion_loss` is on the row at label time, while candidates are compared: it replaces the served
    one as long as labels come for rows of the previous champion. `expired`: no record has the label.
    """
    state = core.state
    monitors, vigil = state.monitors, state.vigil
    delay_ms = state.log_time_ms - row.time_ms
    if not expired:
        vigil.last_label_ms = state.log_time_ms
        usual_ms: float = vigil.delay_ms
        vigil.delay_ms = usual_ms + SMOOTH * (delay_ms - usual_ms)
        if state.monitors.labels % LABEL_EVERY == 0:
            vigil.delays.observe(delay_ms / 1000)
    named = str(label) if state.classify and type(label) is int else label
    alarms = monitors.on_label(named, None if expired else delay_ms)
    heard, serving = False, core.served.name
    for slot, loss in losses:
        heard |= slot.name == serving
        # Those of a young model in a blend fall and rise, and nobody acts on them.
        if slot.version != state.policy.previous and (state.blend is None or slot.kind == DECLARED):
            monitors.on_loss(slot.name, loss, alarms)
    if not heard and champion_loss is not None:
        monitors.on_loss(serving, champion_loss, alarms)
    opened: SearchOpened | None = None
    for alarm in alarms:
        mine = alarm.signal == LOSS and alarm.name == serving
        if alarm.signal == LOSS and alarm.verdict.after <= alarm.verdict.before:
            # It loses less than before: nothing to fix. But candidates of a hunt began in worse times.
            found = state.policy.eased() if mine and not state.paused else None
            if found is None:
                continue
        else:
            report_alarm(core, alarm)
            drift = alarm.verdict.state is DriftState.DRIFT
            found = state.policy.alarm(drift) if mine and not state.paused else None
        opened = found or opened
        if mine and (found is not None or state.policy.late_alarm):
            state.cause = cause(core, alarm)
    return opened


def cause(core: Core, alarm: Alarm) -> dict[str, Any]:
    """What the receipt of a swap will say about the alarm that began the hunt."""
    return {
        "detector": alarm.detector,
        "signal": alarm.signal,
        "before": alarm.verdict.before,
        "after": alarm.verdict.after,
        "alarm_offset": core.out.record.offset,
        "features": core.state.monitors.ranking(),
    }


def report_alarm(core: Core, alarm: Alarm) -> None:
    """Alert of a drift; a warning is only remembered: it starts candidates at most."""
    state, verdict = core.state, alarm.verdict
    drift = verdict.state is DriftState.DRIFT
    now, records = state.log_time_ms, state.counters.events + state.counters.labels
    seen = Alarmed(alarm.detector, drift, float(verdict.before), float(verdict.after), now, records)
    state.vigil.alarmed(alarm.signal, alarm.name, seen)
    if not drift:
        return
    state.counters.drifts += 1
    of = f" of {alarm.name}" if alarm.name else ""
    moved = f" ({verdict.what})" if verdict.what else ""
    text = f"{alarm.detector} sees drift in {alarm.signal}{of}{moved}: {verdict.before:.3g} before, "
    text += f"{verdict.after:.3g} now"
    mine = alarm.signal == LOSS and alarm.name == core.served.name
    core.out.alert(
        "drift",
        text,
        severity="" if mine else INFO,
        about=f"{alarm.signal}/{alarm.name}",
        detector=alarm.detector,
        signal=alarm.signal,
        name=alarm.name,
        before=verdict.before,
        after=verdict.after,
        features=state.monitors.ranking(),
        labels_learned=state.counters.labels_learned,
    )


def many_strings(core: Core, names: list[str]) -> None:
    """Alert once of each string feature that has as many values as an id has."""
    for name in names:
        bound = len(core.state.categories[name]) - 1
        text = (
            f"feature {name!r} has more than {bound:,} different strings. If it is an id, leave it out, or "
            "send it as the key: a model with a weight for each string becomes slower with each"
        )
        core.out.alert("many-strings", text, about=name, feature=name)


def placement(core: Core) -> None:
    """Alert once when a key lies in another partition than murmur2 puts it: such a label never meets its
    event.
    """
    state, shards, record = core.state, core.shards, core.out.record
    if shards == 1 or state.misplaced or record.key is None:
        return
    if state.counters.events + state.counters.labels > PLACEMENT_ALWAYS and record.offset % PLACEMENT_SAMPLE:
        return
    expected = partition_for(record.key, shards)
    if expected != state.shard:
        state.misplaced = True
        text = (
            f"a key of shard {expected} came to shard {state.shard}: its producer does not place keys "
            "by murmur2. Set partitioner=murmur2_random (librdkafka) or use stream_app.client"
        )
        core.out.alert("partitioner-mismatch", text, expected=expected)
