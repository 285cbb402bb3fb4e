"""Mounts the commands and maps errors to exit codes: 0 done, 1 a check failed, 2 usage, 3 refused."""

from __future__ import annotations

import sys
from importlib import import_module

import click
import typer
from typer.core import TyperGroup

from stream_app.errors import StreamAppError

# name → (module below stream_app.cli, one line of help). Imported when called: River alone takes a second.
COMMANDS = {
    "services": ("services", "Embedded Kafka and Valkey for laptops, demos and tests: up, down, status."),
    "topics": ("topics", "Create and check an application's topics."),
    "learn": ("learn", "Run a learner: predict every event, learn every label, exactly once."),
    "produce": ("produce", "Write a CSV or JSON-lines file as events and labels."),
    "consume": ("consume", "Read committed predictions, alerts, dead letters and more."),
    "status": ("status", "Each shard's owner, lag, pending rows, champion and snapshot."),
    "verify": ("verify", "Replay the journal and compare every digest."),
    "upgrade": ("upgrade", "Open a new epoch for a changed definition."),
    "dlq": ("dlq", "List, show and retry dead letters."),
    "command": ("command", "Pause or resume learning, forget an entity."),
    "doctor": ("doctor", "Check versions, servers, topics and settings, with the fix for each fault."),
    "demo": ("demo", "Real data through real Kafka, compared with bare River to the bit."),
}
HIDDEN = {"admit": ("admit", "Admission check of a definition, as JSON.")}


class LazyGroup(TyperGroup):
    """A group whose subcommands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = COMMANDS.get(cmd_name) or HIDDEN.get(cmd_name)
        if known is None:
            return None
        wants_help_only = ctx.resilient_parsing or cmd_name not in sys.argv
        if wants_help_only:
            return click.Command(cmd_name, help=known[1], short_help=known[1])
        module = import_module(f"stream_app.cli.{known[0]}")
        found: click.Command = typer.main.get_command(module.app)
        found.name = cmd_name
        return found


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def stream_app() -> None:
    """Streaming online learning over Kafka: exactly one prediction per event, every label learned exactly once."""


def main() -> None:
    """Entry point of `stream-app`."""
    try:
        app()
    except StreamAppError as error:
        fix = f"; fix: {error.remedy}" if error.remedy else ""
        sys.stderr.write(f"error: {error.message}{fix}\n")
        sys.exit(error.exit_code)
