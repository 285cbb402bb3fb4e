"""`stream-app verify MODULE:APP`: the proof, by replay."""

from __future__ import annotations

import sys

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for
from stream_app.cli.past import open_past

app = typer.Typer()


@app.command()
def verify(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    json: bool = typer.Option(False, "--json", help="One JSON object per replay."),
) -> None:
    """Replay every shard from its earliest retained point and its newest snapshot; exit 1 on a difference."""
    pin()
    from stream_app.learner.history.verify import verify_shard
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.past import past_opener

    configure_logs()
    definition, settings = load_app(target), settings_for()
    opener, good = past_opener(definition, settings), True
    for shard in range(definition.shards):
        with open_past(opener, shard) as past:
            results = verify_shard(past)
        for found in results:
            good = good and found.equal
            if json:
                line = msgspec.structs.asdict(found)
                print_json({**line, "seq": found.to, "from": line.pop("start")})
            else:
                verdict = "equal" if found.equal else f"DIFFERENT: {found.why}"
                sys.stdout.write(
                    f"shard {shard} from {found.source} {found.start}…{found.to} {found.digest} {verdict}\n"
                )
    if not good:
        raise typer.Exit(1)
