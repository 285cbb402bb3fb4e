"""Stage: what operators command. A command is journaled like any record, so a replay obeys it too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stream_app.flow.core import Core
from stream_app.flow.outputs import CommandDone
from stream_app.state.pending import PendingRow
from topics.records import COMMANDS, Command, Outcome

Handlers = Mapping[str, Callable[[Core, Command], tuple[Outcome, str]]]


def apply_command(core: Core, command: Command, handlers: Handlers) -> list[str]:
    """Carry out one command and give the entities that the view must drop. A command sent twice acts once.

    `handlers` carry out, by name, what concerns models; they give the outcome and why.
    """
    state = core.state
    if command.command_id in state.commands:
        return []
    dropped: list[str] = []
    outcome: Outcome = "done"
    why = command.reason
    if command.shard is not None and command.shard != state.shard:
        outcome, why = "refused", f"this is shard {state.shard}, the command is for shard {command.shard}"
    elif command.command == "pause":
        state.paused = True
    elif command.command == "resume":
        state.paused = False
    elif command.command == "forget" and command.key:
        forget(core, command.key)
        dropped = [command.key]
        why = "features, pending rows and waiting labels are dropped; a model cannot unlearn"
    elif command.command == "forget":
        outcome, why = "refused", "forget needs a key"
    elif command.command in handlers:
        outcome, why = handlers[command.command](core, command)
    else:
        outcome, why = "refused", f"unknown command {command.command!r}; known are {', '.join(COMMANDS)}"
    state.remember_command(command.command_id, outcome)
    core.out.add(CommandDone(command.command_id, outcome, why))
    return dropped


def forget(core: Core, key: str) -> None:
    """Drop what is stored of one entity: its windows, its pending rows, its waiting labels, what its labels
    were judged by.
    """
    state = core.state
    state.entities.drop(key)
    if state.sources is not None:
        state.sources.forget(key)
    for waiting in (state.pending, state.parked):
        for item_id, item in [pair for pair in waiting.items.items() if pair[1].key == key]:
            waiting.pop(item_id)
            if core.observer is not None and isinstance(item, PendingRow):
                core.observer.unlabelled(item)
