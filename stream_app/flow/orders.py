"""What operators order about models: promote one, roll back, drop one."""

from __future__ import annotations

from stream_app.flow import blend
from stream_app.flow.core import Core
from stream_app.flow.swap import retire, take_over
from stream_app.state.slot import Slot
from topics.records import Command, Outcome


def promote(core: Core, command: Command) -> tuple[Outcome, str]:
    """An operator lets another slot serve; the evidence may still undo it while it is on probation.

    Where a blend serves, the slot answers alone until a rollback.
    """
    slot, why = chosen(core, command)
    if slot is None:
        return "refused", why
    if core.blend is not None:
        fault = core.gate(slot)
        if fault is not None:
            return "refused", f"{slot.name} v{slot.version} cannot serve: {fault}"
        return "done", blend.pin(core, slot, f"pinned by {command.actor}: {command.reason}")
    if slot.name == core.state.serving:
        return "refused", f"{slot.name} v{slot.version} serves already"
    return let_serve(core, command, slot, reverse=False)


def rollback(core: Core, command: Command) -> tuple[Outcome, str]:
    """An operator goes back to the previous champion, while it is still kept."""
    state = core.state
    if core.blend is not None:
        if core.blend.pinned is None:
            return "refused", "no slot is pinned: the blend serves"
        return "done", blend.unpin(core, f"rolled back by {command.actor}: {command.reason}")
    before = state.policy.previous if state.policy.previous is not None else state.champion_before
    slot = None if before is None else state.slot_of(before)
    if slot is None or slot.name == state.serving:
        return (
            "refused",
            "the previous champion is no longer kept: the probation is over; promote another version",
        )
    return let_serve(core, command, slot, reverse=True)


def let_serve(core: Core, command: Command, slot: Slot, *, reverse: bool) -> tuple[Outcome, str]:
    """Let an operator's choice serve, if it passes the gate."""
    fault = core.gate(slot)
    if fault is not None:
        return "refused", f"{slot.name} v{slot.version} cannot serve: {fault}"
    why = f"{'rolled back' if reverse else 'promoted'} by {command.actor}: {command.reason}"
    evidence = {"command_id": command.command_id, "actor": command.actor, "reason": command.reason}
    take_over(core, slot, why, evidence, reverse=reverse)
    return "done", f"{slot.name} v{slot.version} serves{' again' if reverse else ''}"


def drop(core: Core, command: Command) -> tuple[Outcome, str]:
    """An operator ends a slot that does not serve."""
    slot, why = chosen(core, command)
    if slot is None:
        return "refused", why
    if slot.name == core.state.serving:
        return "refused", f"{slot.name} v{slot.version} serves; promote another one first"
    retire(core, slot.version, f"dropped by {command.actor}: {command.reason}")
    core.rebind()
    return "done", f"{slot.name} v{slot.version} is dropped"


def chosen(core: Core, command: Command) -> tuple[Slot | None, str]:
    """The slot that a command names by version or by name; else None and what there is."""
    slots = core.state.slots
    for slot in slots:
        if command.version == slot.version or (command.version is None and command.slot == slot.name):
            return slot, ""
    known = ", ".join(f"{slot.name} v{slot.version}" for slot in slots)
    asked = f"version {command.version}" if command.version is not None else f"slot {command.slot!r}"
    return None, f"there is no {asked}; there are {known}"


HANDLERS = {"promote": promote, "rollback": rollback, "drop": drop}
