"""`stream-app upgrade MODULE:APP`: a changed definition enters a new epoch."""

from __future__ import annotations

import sys

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for

app = typer.Typer()


@app.command()
def upgrade(
    target: str = typer.Argument(..., metavar="MODULE:APP", help="The changed definition, or path.py:attr."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be kept and what starts anew."),
    json: bool = typer.Option(False, "--json", help="One JSON object per shard."),
    admission: bool = typer.Option(True, help="Check first that the definition can be replayed."),
) -> None:
    """Open a new epoch: unchanged slots are carried over, changed ones start fresh. No learner may run."""
    pin()
    from stream_app import wiring
    from stream_app.learner.logs import configure_logs

    configure_logs()
    definition, settings = load_app(target), settings_for()
    sample_run = None
    if admission:
        from stream_app.adapters.admission import admit

        sample_run = admit(target)
    for plan in wiring.upgrade(definition, settings, sample_run, dry_run=dry_run):
        if json:
            print_json({**msgspec.structs.asdict(plan), "done": bool(plan.changed) and not dry_run})
        elif not plan.changed:
            sys.stdout.write(f"shard {plan.shard}: nothing changed\n")
        else:
            verb = "would enter" if dry_run else "entered"
            sys.stdout.write(
                f"shard {plan.shard}: {verb} epoch {plan.epoch} at seq {plan.seq}\n"
                f"  differs: {', '.join(plan.changed)}\n"
                f"  carried over: {', '.join(plan.carried) or 'nothing'}\n"
                f"  starts fresh: {', '.join(plan.fresh) or 'nothing'}\n"
            )
