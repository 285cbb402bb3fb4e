"""Stage: the blend learns from a label: which slots were right, who leads, who may go."""

from __future__ import annotations

from typing import Any, Final

from stream_app.flow.core import Core
from stream_app.flow.swap import lightest, retire, scores, start, through
from stream_app.models.calls import Answer, reply
from stream_app.state.blend import BlendState
from stream_app.state.pending import PendingRow
from stream_app.state.slot import DECLARED, Slot

LEADS_FOR: Final = 500  # labels at least, so that two slots of equal weight write no receipt at each
HEAVIEST: Final = 2  # factories that new models are made of, in turns


def learn(core: Core, blend: BlendState, row: PendingRow, label: Any) -> None:
    """Weigh the slots again by what they served, and, where the label came late, by what they say now.

    It comes before the slots learn the row.
    """
    loss, unit = core.state.race_loss, core.state.race_loss.unit
    at, votes = row.votes if row.votes is not None else (0, None)
    late = blend.mixture.rule.late and at != core.state.counters.labels_learned
    again: dict[int, Answer] | None = None
    if late:
        again = {slot.version: reply(calls, row.row) for slot, calls in core.serving_calls if not slot.cold}
    if not core.state.classify:
        for slot, _ in core.serving_calls:
            answer = row.served.get(slot.version)
            if answer is not None and answer[0] is not None:
                loss.of(label, *answer)
        loss.row_over()
    before = blend.mixture.labels
    blend.mixture.learn(label, row.served, again, votes, unit)
    for version in blend.mixture.idle():
        found = core.state.slot_of(version)
        if found is not None and found.kind != DECLARED and found.name != core.state.serving:
            rule = blend.mixture.rule
            retire(core, version, f"its weight was below {rule.floor:g} for {rule.patience:,} labels")
            core.rebind()
    follow(core, blend)
    if blend.mixture.labels != before:
        renew(core, blend)


def renew(core: Core, blend: BlendState) -> None:
    """Let a new model join every so many labels; the lightest candidate makes room."""
    state, every = core.state, blend.mixture.rule.renew
    turn, left = divmod(blend.mixture.labels, every) if every else (0, 1)
    if left or core.app.swap.policy == "never":
        return
    living = [slot for slot in state.slots if slot.failed is None]
    living.sort(key=lambda slot: (-blend.mixture.weight(slot.version), slot.origin))
    heaviest = list(dict.fromkeys(slot.origin for slot in living))[:HEAVIEST]
    for version in lightest(core, 1):
        retire(core, version, "made room for a new model")
    why = f"a new model joins every {every:,} labels"
    start(core, "fresh", heaviest[turn % len(heaviest)], why, {})
    core.rebind()


def follow(core: Core, blend: BlendState) -> None:
    """Let the slot with the most weight lead, once it is clearly ahead."""
    mixture, state = blend.mixture, core.state
    version = mixture.leader()
    if blend.pinned is not None or version is None or version == state.champion_version:
        return
    ahead = mixture.weight(version) > mixture.rule.lead * mixture.weight(state.champion_version)
    slot = state.slot_of(version)
    if ahead and slot is not None and mixture.labels - blend.led_at >= LEADS_FOR:
        lead(core, blend, slot, "it has the most weight")


def lead(core: Core, blend: BlendState, slot: Slot, why: str) -> None:
    """Write receipts of the new leader and of the one before."""
    state = core.state
    old = state.champion
    state.serving, state.champion_version, state.champion_before = slot.name, slot.version, old.version
    state.vigil.champion_since_ms = state.log_time_ms
    blend.led_at = blend.mixture.labels
    known, read = scores(core), through(core.out.record)
    evidence = {"weights": weights(core, blend)}
    core.out.receipt(
        slot, why, "serving", parent=old.version, evidence=evidence, trained_through=read, scores=known
    )
    core.out.receipt(old, f"{slot.name} v{slot.version} leads the blend", "challenger", scores=known)
    core.rebind()


def weights(core: Core, blend: BlendState) -> dict[str, float]:
    """The weight of every slot, by name."""
    return {
        slot.name: blend.mixture.weight(slot.version)
        for slot in core.state.slots
        if slot.version in blend.mixture.experts
    }


def pin(core: Core, slot: Slot, why: str) -> str:
    """Let one slot answer alone; gives what was done."""
    blend = core.blend
    if blend is not None:
        blend.pinned = slot.version
        lead(core, blend, slot, why)
    return f"{slot.name} v{slot.version} answers alone; `models rollback` lets the blend answer again"


def unpin(core: Core, why: str) -> str:
    """Let the blend answer again; gives what was done."""
    blend = core.blend
    if blend is not None:
        blend.pinned = None
        version = blend.mixture.leader()
        slot = core.state.champion if version is None else core.state.slot_of(version)
        if slot is not None:
            lead(core, blend, slot, why)
    return "the blend answers again"
