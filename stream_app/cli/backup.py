"""`stream-app backup MODULE:APP FOLDER`: all that an application needs to go on elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for

app = typer.Typer()


@app.command()
def backup(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP")],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that does not exist, or is empty.")
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object per shard.")] = False,
) -> None:
    """Write the newest state, the receipts of models and the unread inputs of every shard into a folder.

    Each shard is replayed from its newest snapshot to where its journal ends now, every digest compared.
    Learners may run or be dead: nothing of theirs is written, joined or fenced. Cut off, it leaves no
    folder.
    """
    pin()
    from rich.console import Console

    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.backup import backup as write_backup

    configure_logs()
    definition, settings = load_app(target), settings_for()
    with Console(file=sys.stderr).status("topics") as status:
        manifest = write_backup(definition, settings, folder, status.update)
    for entry in manifest.shards:
        if json:
            print_json({**msgspec.structs.asdict(entry), "backup": manifest.backup_id, "folder": str(folder)})
        else:
            unread = ", ".join(f"{n:,} {name}" for name, n in entry.unread.items())
            sys.stdout.write(
                f"shard {entry.shard}: epoch {entry.epoch}, batch {entry.seq:,}; state: "
                f"{entry.state_bytes:,} bytes; receipts: {entry.receipts:,}; unread: {unread}\n"
            )
    size = sum(file.bytes for file in manifest.files.values())
    sys.stderr.write(f"wrote {len(manifest.files):,} files, {size:,} bytes, to {folder}\n")
