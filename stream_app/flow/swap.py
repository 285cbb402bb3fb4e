"""Stage: hunts, races and swaps. `drift.policy` decides, this carries it out on models and slots.

A race is run on the row at label time, before it is learned: equal information for all (ADR 8).
"""

from __future__ import annotations

from typing import Any

from drift.policy import SearchClosed, SearchOpened, Won
from stream_app.errors import MACHINE
from stream_app.flow.core import Core, type_of
from stream_app.models.calls import COLD, Answer, ModelFault, reply
from stream_app.state.pending import PendingRow
from stream_app.state.slot import DECLARED, KEPT, Slot
from topics.envelope import Record


def compare_candidates(core: Core, row: PendingRow, label: Any) -> float | None:
    """Give every open race its pair; the champion's own loss (0/1 or absolute error), None if cold."""
    state = core.state
    policy, loss = state.policy, state.race_loss
    champion: Answer | None = None
    for slot, calls in core.calls:  # the champion is the first
        serving = slot.name == state.serving
        if not serving and slot.version not in policy.races:
            continue
        answer = COLD if slot.cold else reply(calls, row.row)
        if answer[0] is None:
            if serving:
                return None
            continue
        if serving:
            champion = answer
        elif champion is not None:
            policy.races[slot.version].update(loss.of(label, *champion), loss.of(label, *answer))
    if champion is None:
        return None
    loss.row_over()
    return float(champion[0] != label) if state.classify else abs(label - champion[0])


def compare_challengers(core: Core, row: PendingRow, label: Any) -> None:
    """Declared challengers are always in a race, on what was served: it costs no prediction."""
    state = core.state
    champion = row.served.get(state.champion.version)
    if champion is None or champion[0] is None:
        return
    loss = state.race_loss
    mine = loss.of(label, *champion)
    for slot, _ in core.calls:
        answer = row.served.get(slot.version)
        if slot.name == state.serving or answer is None or answer[0] is None:
            continue
        if slot.version not in state.policy.races:
            state.policy.stand(slot.version, mine, loss.of(label, *answer))
    if not state.policy.open:  # else the row is over once the races have their pairs
        loss.row_over()


def start_candidates(core: Core, opened: SearchOpened) -> None:
    """Start candidates; under the policy `immediate` the one serves at once."""
    state = core.state
    for version in opened.dropped if state.blend is None else lightest(core, len(opened.kinds)):
        retire(core, version, "made room for a newer candidate")
    for kind in opened.kinds:
        start(core, kind, state.champion.origin, f"hunt {opened.hunt}: {kind} candidate", dict(state.cause))
    core.rebind()


def start(core: Core, kind: str, origin: str, why: str, evidence: dict[str, Any]) -> None:
    """Start one candidate, of the factory of `origin`; who fails here goes at once."""
    state = core.state
    try:
        slot = state.keep_champion() if kind == KEPT else state.add_candidate(core.app, kind, origin)
    except MACHINE:
        raise
    except Exception as error:  # noqa: BLE001  # a model may refuse to be made or copied; the shard goes on
        raised = type_of(error)
        text = f"{why}: there is none, {raised}: {error}"
        core.out.alert("candidate-refused", text, candidate=kind, error=raised)
        return
    fault = warm(core, slot) if kind == "warm" else None
    core.out.receipt(slot, why, "candidate", evidence=evidence)
    if fault is not None:
        core.fail_slot(slot, fault)
    elif state.blend is None and core.app.swap.policy != "immediate":
        state.policy.enter(slot.version)
    elif (refusal := core.gate(slot)) is not None:
        refuse(core, slot.version, refusal)
    elif state.blend is not None:
        state.blend.mixture.enter(slot.version)
    else:
        take_over(core, slot, "an alarm, under the policy immediate", evidence)


def lightest(core: Core, n: int) -> list[int]:
    """The candidates with the least weight that must go so that `n` more have room."""
    state = core.state
    if state.blend is None:
        return []
    rivals = [slot.version for slot in state.slots if slot.kind != DECLARED and slot.name != state.serving]
    rivals.sort(key=state.blend.mixture.weight)
    return rivals[: max(0, len(rivals) + n - core.app.swap.max_candidates)]


def warm(core: Core, slot: Slot) -> ModelFault | None:
    """Let a candidate learn the newest examples; why it cannot, if so."""
    calls = core.bind(slot)
    try:
        for row, label, weight in core.state.recent:
            calls.learn(row, label, weight)
            slot.learned += 1
    except ModelFault as fault:
        return fault
    return None


def decide(core: Core) -> None:
    """One more label is learned: carry out what the policy says."""
    decision = core.state.policy.decide()
    if decision is None:
        return
    if isinstance(decision, SearchOpened):
        start_candidates(core, decision)
    elif isinstance(decision, SearchClosed):
        close(core, decision)
    else:
        end_with_winner(core, decision)


def close(core: Core, closed: SearchClosed) -> None:
    """A hunt without a winner, or a probation that is over: the slots go, declared challengers stay."""
    for version in closed.versions:
        slot = core.state.slot_of(version)
        if slot is not None and stays(core, slot):
            continue
        passed = version == closed.previous
        why = "the new champion passed its probation" if passed else f"lost hunt {closed.hunt}"
        retire(core, version, why)
    core.rebind()


def stays(core: Core, slot: Slot) -> bool:
    """Whether a slot that lost goes on in the shadow: the definition's, unless its own kind replaced it."""
    return slot.kind == DECLARED and slot.origin != core.state.champion.origin


def end_with_winner(core: Core, won: Won) -> None:
    """A rival has the evidence: it passes the gate and serves, or is refused with an alert."""
    state = core.state
    slot = state.slot_of(won.version)
    fault = "it is gone" if slot is None else core.gate(slot)
    if slot is None or fault is not None:
        refuse(core, won.version, fault or "")
        return
    found = won.evidence
    evidence: dict[str, Any] = {"threshold": won.threshold}
    if won.hunt is not None:
        evidence |= {"hunt": won.hunt, **state.cause}
    if found is not None:
        evidence |= {
            "e_value": found.capital,
            "pairs": found.pairs,
            "champion_loss": found.champion_loss,
            "rival_loss": found.rival_loss,
        }
    why = "rollback: the previous champion loses less" if won.reverse else "it loses less on the same rows"
    take_over(core, slot, why, evidence, reverse=won.reverse)


def refuse(core: Core, version: int, fault: str) -> None:
    """Take a rival out of the race that is to serve and cannot."""
    text = f"version {version} is to serve and cannot: {fault}"
    core.out.alert("candidate-refused", text, version=version, why=fault)
    retire(core, version, f"refused: {fault}")
    core.rebind()


def take_over(
    core: Core,
    slot: Slot,
    why: str,
    evidence: dict[str, Any],
    *,
    reverse: bool = False,
) -> None:
    """The swap itself: one slot serves, the old champion goes on probation's other side, the losers go."""
    state = core.state
    old = state.champion
    gone = state.policy.swapped(old.version, reverse=reverse)
    state.serving, state.champion_version, state.champion_before = slot.name, slot.version, old.version
    state.vigil.champion_since_ms = state.log_time_ms
    if not reverse:  # one that comes back is measured against what it lost before
        state.monitors.forget_losses(slot.name)
    state.counters.swaps += 1
    evidence = {**evidence, "reverse": reverse}
    core.out.receipt(
        slot,
        why,
        "serving",
        parent=old.version,
        evidence=evidence,
        trained_through=through(core.out.record),
        scores=scores(core),
    )
    keep = {slot.version} if reverse else {slot.version, state.policy.previous}
    for version in dict.fromkeys((*gone, old.version)):
        loser = state.slot_of(version)
        if loser is None or version in keep or stays(core, loser):
            continue
        retire(core, version, f"version {slot.version} took over")
    if state.slot_of(old.version) is not None:
        text, known = f"version {slot.version} took over", scores(core)  # of those who are left
        core.out.receipt(old, text, "challenger", trained_through=through(core.out.record), scores=known)
    core.rebind()
    text = f"{slot.name} v{slot.version} serves instead of {old.name} v{old.version}: {why}"
    evidence |= {"version": slot.version, "parent": old.version}
    if reverse:
        core.out.alert("rollback", text, **evidence)
    else:
        core.out.alert("swap", text, **evidence)
    if not state.policy.affordable:
        text = f"{core.app.swap.budget} swaps within {core.app.swap.budget_labels:,} labels: none is left"
        core.out.alert("swap-budget", text, budget=core.app.swap.budget)


def retire(core: Core, version: int, why: str) -> None:
    """A slot's end; its receipt holds the scores it had reached."""
    state = core.state
    slot = state.slot_of(version)
    state.leave(version)
    if slot is None:
        return
    state.slots.remove(slot)
    state.monitors.forget_losses(slot.name)
    reached = {slot.name: slot.scores.report()["rolling"]}
    core.out.receipt(slot, why, "retired", trained_through=through(core.out.record), scores=reached)


def scores(core: Core) -> dict[str, Any]:
    """The scores of every slot, and of a blend, at this moment, by name."""
    slots = core.state.slots if core.blend is None else [core.blend.slot, *core.state.slots]
    return {slot.name: slot.scores.report()["rolling"] for slot in slots}


def through(record: Record) -> dict[str, int]:
    """The input and the offset up to which the models had learned."""
    return {("commands", "events", "labels")[record.rank]: record.offset}
