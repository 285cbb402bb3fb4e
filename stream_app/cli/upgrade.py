"""`stream-app upgrade MODULE:APP`: a changed definition enters a new epoch."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for
from stream_app.errors import Refused

if TYPE_CHECKING:
    from stream_app.learner.upgrade import Plan

app = typer.Typer()


@app.command()
def upgrade(
    target: str = typer.Argument(..., metavar="MODULE:APP", help="The changed definition, or path.py:attr."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be kept and what starts anew."),
    yes: bool = typer.Option(False, "--yes", help="Give up what a plan names, without asking."),
    json: bool = typer.Option(False, "--json", help="One JSON object per shard."),
    admission: bool = typer.Option(True, help="Check first that the definition can be replayed."),
) -> None:
    """Open a new epoch: unchanged slots are carried over, changed ones start fresh. No learner may run."""
    pin()
    from stream_app import wiring
    from stream_app.learner.logs import configure_logs

    configure_logs()
    definition, settings = load_app(target), settings_for()
    if admission:
        from stream_app.adapters.admission import admit

        admit(target)
    for plan in wiring.upgrade(definition, settings, partial(agreed, yes=yes), dry_run=dry_run):
        if json:
            print_json({**msgspec.structs.asdict(plan), "done": bool(plan.changed) and not dry_run})
        elif not plan.changed:
            sys.stdout.write(f"shard {plan.shard}: nothing changed\n")
        else:
            verb = "would enter" if dry_run else "entered"
            sys.stdout.write(
                f"shard {plan.shard}: {verb} epoch {plan.epoch} at seq {plan.seq}\n"
                f"  changed: {', '.join(plan.changed)}\n"
                f"  carried over: {', '.join(plan.carried) or 'nothing'}\n"
                f"  starts fresh: {', '.join(plan.fresh) or 'nothing'}\n"
                + "".join(f"  given up: {what}\n" for what in plan.given_up)
            )


def agreed(plan: Plan, *, yes: bool) -> None:
    """Ask a person at a terminal before anything is given up; elsewhere `--yes` must say so.

    Raises:
        Refused: it was not agreed to; nothing was written.
    """
    if not plan.given_up or yes:
        return
    listed = "; ".join(plan.given_up)
    if sys.stdin.isatty() and typer.confirm(f"shard {plan.shard} gives up: {listed}. Go on?", err=True):
        return
    raise Refused(
        f"shard {plan.shard} would give up: {listed}",
        "Add --yes if that is what you want; --dry-run shows all",
    )
