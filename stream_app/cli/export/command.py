"""`stream-app export rows MODULE:APP --to FOLDER`: what models saw and served, with what came true."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.context import load_app, owner_only, pin, print_json, settings_for
from stream_app.cli.past import open_past

if TYPE_CHECKING:
    from stream_app.cli.export.dataset import DataSet
    from stream_app.learner.history.past import Past
    from stream_app.learner.history.rows import Mark, SeenRow

app = typer.Typer(no_args_is_help=True, help="Write what the log knows as files.")
PART = 50_000  # rows of a shard, then they are written


@app.callback()
def export() -> None:
    """Write what the log knows as files."""


@app.command()
def rows(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP")],
    to: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The data set: Parquet files in a folder per day.")
    ],
    shard: Annotated[int | None, typer.Option(metavar="N", min=0, help="Only this shard.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per shard.")] = False,
) -> None:
    """Write every event as the models saw it, with the prediction as it was served and its label.

    The journal is replayed, so each row is point-in-time correct. A row is written once its label has come,
    or once none can come any more. Run it again, after Ctrl-C too, and it goes on where it ended.
    """
    pin()
    owner_only()
    from stream_app.cli.export.dataset import DataSet
    from stream_app.cli.orders import check_shard
    from stream_app.learner.history.rows import replay_rows
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.past import past_opener

    configure_logs()
    definition = load_app(target)
    check_shard(definition, shard)
    folder = DataSet(to, definition.name, definition.task)
    opener = past_opener(definition, settings_for())
    for number in range(definition.shards) if shard is None else (shard,):
        with open_past(opener, number) as past:
            part = Part(folder, past)
            ended = replay_rows(past, part.before, part.take)
        if json:
            document = {"shard": number, "rows": part.written, "waiting": ended.waiting, "folder": str(to)}
            print_json({**document, "left_out_batches": len(ended.left_out)})
            continue
        waiting = f"{ended.waiting:,} still wait for their labels: run it again later"
        late = f"; {waiting}" if ended.waiting else ""
        sys.stdout.write(f"shard {number}: {part.written:,} rows written to {to}{late}\n")
        if ended.left_out:
            sys.stdout.write(
                f"  batches {ended.left_out[0]:,} to {ended.left_out[-1]:,} are not in it: "
                "their inputs are not retained any more, or they are of an earlier definition\n"
            )


class Part:
    """Takes a shard's rows and writes them in parts."""

    def __init__(self, folder: DataSet, past: Past) -> None:
        self.folder, self.shard, self.progress = folder, past.shard, past.progress
        self.before = folder.mark(self.shard)

    def take(self, done: list[SeenRow], mark: Mark, last: bool) -> None:
        """Write what is there if that is enough, or all there is."""
        if len(done) >= PART or last:
            self.folder.add(self.shard, done, mark)
            done.clear()
        self.progress(mark.seq, f"{self.written + len(done):,} rows")

    @property
    def written(self) -> int:
        """The rows of this run that are in files."""
        now = self.folder.mark(self.shard)
        return (now.rows if now else 0) - (self.before.rows if self.before else 0)
