"""Mounts the commands and maps errors to exit codes: 0 done, 1 a check failed, 2 usage, 3 refused."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from stream_app.errors import StreamAppError

# Name, also of the module or folder below stream_app.cli, without dashes → one line of help. Imported when
# called.
COMMANDS = {
    "services": "Embedded Kafka and Valkey for laptops, demos and tests: up, down, status.",
    "topics": "Create, check, configure and trim an application's topics.",
    "learn": "Run a learner: predict every event, learn every label, exactly once.",
    "inputs": "Show what records of your own topics become.",
    "bridge": "Copy records of your own topics into the application's, exactly once.",
    "serve": "Predict over HTTP from the newest features and the newest model.",
    "ops": "Route alerts to people, and show the dashboard.",
    "backtest": "Show what a definition would have served of a file, without servers.",
    "produce": "Write a CSV or JSON-lines file as events and labels.",
    "consume": "Read committed predictions, alerts, dead letters and more.",
    "status": "Each shard's owner, lag, pending rows, champion and snapshot.",
    "verify": "Replay the journal and compare every digest.",
    "replay": "Show a shard as it was at a moment of the past.",
    "what-if": "Show what another definition would have served of the recorded history.",
    "export": "Write rows as models saw them, with predictions and labels, as Parquet.",
    "explain": "Say why a served prediction was what it was.",
    "drift": "Compare drift detectors and swap policies, on known drifts or on your own topic.",
    "models": "Which models there are and why; promote, roll back or drop one.",
    "upgrade": "Open a new epoch for a changed definition.",
    "bootstrap": "Learn a history from files before the first event.",
    "backup": "Write all that an application needs to go on elsewhere into a folder.",
    "restore": "Put a backup into an empty cluster.",
    "dlq": "List, show and retry dead letters.",
    "command": "Pause or resume learning, forget an entity.",
    "doctor": "Check versions, servers, topics and settings, with the fix for each fault.",
    "keys": "Make signing keys, and print the public ones.",
    "demo": "Real data through real Kafka, compared with bare River to the bit.",
    "admit": "Admission check of a definition, as JSON.",
}
FOLDERS = {
    "backtest",
    "demo",
    "drift",
    "export",
    "models",
    "produce",
    "replay",
}  # their module `command` is what is called
HIDDEN = {"admit"}
COMPLETION = {"install_completion", "show_completion"}


def module_of(name: str | None) -> str:
    """Name the module or folder of a command below stream_app.cli: a module's name has no dash."""
    return (name or "").replace("-", "")


class LazyGroup(TyperGroup):
    """A group that lists its subcommands without importing them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, text in COMMANDS.items():
            if find_spec(f"stream_app.cli.{module_of(name)}"):
                self.add_command(TyperCommand(name, help=text, short_help=text, hidden=name in HIDDEN))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The real subcommand; the listed one only holds its place."""
        name, _, rest = super().resolve_command(ctx, args)
        module = import_module(f"stream_app.cli.{module_of(name)}{'.command' if name in FOLDERS else ''}")
        found = typer.main.get_command(module.app)
        found.name = name
        found.params = [option for option in found.params if option.name not in COMPLETION]
        return name, found, rest


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def show_version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        from importlib.metadata import version

        typer.echo(f"stream-app {version('stream-app')}")
        raise typer.Exit


@app.callback()
def stream_app(
    config: Path | None = typer.Option(
        None, metavar="FILE", help="Settings as TOML; default STREAM_APP_CONFIG, then ./stream-app.toml."
    ),
    version: bool = typer.Option(  # noqa: ARG001  its callback is all there is to do
        False, "--version", is_eager=True, callback=show_version, help="Show the version and end."
    ),
) -> None:
    """Online learning on Kafka: one prediction per event, every label learned once, whatever dies when."""
    if config is not None:
        os.environ["STREAM_APP_CONFIG"] = str(config)  # child processes must see the same


def main() -> None:
    """Entry point of `stream-app`."""
    try:
        app()
    except StreamAppError as error:
        fix = f"; fix: {error.remedy}" if error.remedy else ""
        sys.stderr.write(f"error: {error.message}{fix}\n")
        sys.exit(error.exit_code)
