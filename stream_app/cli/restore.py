"""`stream-app restore MODULE:APP FOLDER`: a backup into an empty cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for

app = typer.Typer()


@app.command()
def restore(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The definition of the backup.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `stream-app backup` has written.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object per shard.")] = False,
) -> None:
    """Put a backup into an empty cluster, so that learners go on where it ends. No learner may run.

    Topics are created, each shard enters its next epoch, and the inputs that were unread are written again.
    Anything but an empty cluster and the backup's own definition is refused, and nothing is changed. If it is
    cut off, run it again: until then no learner takes a shard that is not restored.
    """
    pin()
    from rich.console import Console

    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.restore import restore as read_backup

    configure_logs()
    definition, settings = load_app(target), settings_for()
    with Console(file=sys.stderr).status("backup") as status:
        for done in read_backup(definition, settings, folder, status.update):
            if json:
                print_json(msgspec.structs.asdict(done))
                continue
            unread = ", ".join(f"{n:,} {name}" for name, n in done.unread.items())
            what = "was restored before" if done.entered else f"{done.receipts:,} receipts; unread: {unread}"
            sys.stdout.write(f"shard {done.shard}: epoch {done.epoch} after batch {done.seq:,}; {what}\n")
    sys.stderr.write("restored: start the learners\n")
