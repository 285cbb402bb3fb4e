"""`stream-app replay MODULE:APP --to WHEN`: a shard as it was, from the log."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_app.cli.context import check_writable, load_app, owner_only, pin, print_json, settings_for
from stream_app.cli.past import open_past
from stream_app.cli.produce.options import FILES, Drop, Features, Types
from stream_app.errors import UsageError
from topics.envelope import EVENT

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.learner.batch.processor import BatchProcessor
    from stream_app.learner.history.as_of import Moment

app = typer.Typer()


@app.command()
def replay(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP")],
    to: Annotated[
        str,
        typer.Option(
            metavar="OFFSET|TIME",
            help="Right before the event at this offset, or behind this time (ISO 8601 with an offset).",
        ),
    ],
    shard: Annotated[int | None, typer.Option(metavar="N", min=0, help="Only this shard.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pickle the serving model of the one shard.")
    ] = None,
    predict: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Answer the rows of a file ({FILES}), as JSON objects on standard output."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="The file's column that names the entity; default: each row is one."
        ),
    ] = None,
    features: Features = "",
    drop: Drop = "",
    types: Types = "",
    json: Annotated[bool, typer.Option("--json", help="One JSON object per shard.")] = False,
) -> None:
    """Show a shard as it was at a moment of the past: which model served, what it knew, how good it was.

    The journal is replayed from the newest snapshot before that, every digest compared. Nothing is written or
    joined. A saved model is River's own: `pickle.load(open(FILE, "rb"))` where the same libraries are. With
    --predict, each row of a file is answered with what was known of its entity then.
    """
    pin()
    owner_only()
    from stream_app.cli.orders import check_shard
    from stream_app.cli.produce.reading import Options, read
    from stream_app.cli.replay.predictions import predictions
    from stream_app.learner.history.as_of import state_as_of
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.past import past_opener

    configure_logs()
    moment, definition = moment_of(to), load_app(target)
    check_shard(definition, shard)
    numbers = numbers_of(definition, shard, alone=moment.offset is not None or save is not None)
    check_writable(save)
    opener = past_opener(definition, settings_for())
    reading = None
    if predict is not None:
        reading = read(definition, predict, Options(key, features=features, drop=drop, types=types))
    answers: list[dict[str, Any]] = []
    for number in numbers:
        with open_past(opener, number) as past:
            processor, following = state_as_of(past, moment)
        if following is None:
            say_if_beyond(processor, moment)
        found = described(processor)
        if reading is not None:
            copy = past.store.round_trip
            answers += predictions(definition, processor, reading, copy, time_ms=moment.time_ms)
            sys.stderr.write(text_of(found))
        elif json:
            print_json(found)
        else:
            sys.stdout.write(text_of(found))
        if save is not None:
            save_champion(processor, save)
    if reading is not None:
        print_answers(answers, len(reading.rows))


def numbers_of(definition: Application, shard: int | None, *, alone: bool) -> list[int]:
    """The shards to replay.

    Raises:
        UsageError: several where one `alone` is meant.
    """
    numbers = [shard] if shard is not None else list(range(definition.shards))
    if alone and len(numbers) > 1:
        raise UsageError("an offset, and a model, is one shard's", "Name it: --shard N")
    return numbers


def save_champion(processor: BatchProcessor, file: Path) -> None:
    """Pickle the serving model; of a blend the one that leads."""
    from stream_app.adapters.pickled import plain

    champion = processor.core.state.champion
    file.write_bytes(plain(champion.model))
    sys.stderr.write(f"wrote {champion.name} v{champion.version} to {file}\n")


def print_answers(answers: list[dict[str, Any]], rows: int) -> None:
    """The answers in the file's order, and how many rows have none because only one shard was asked."""
    for answer in sorted(answers, key=lambda answer: int(answer["row"])):
        print_json(answer)
    if len(answers) < rows:
        sys.stderr.write(f"{rows - len(answers):,} rows are of entities in other shards: no answer here\n")


def moment_of(text: str) -> Moment:
    """An offset, or a time.

    Raises:
        UsageError: it is neither.
    """
    from stream_app.learner.history.as_of import Moment

    if text.isdecimal():
        return Moment(offset=int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise UsageError(
            f"--to {text!r} is neither an offset nor a time",
            "Give an event's offset, or ISO 8601 with an offset (2026-01-31T12:00:00+00:00)",
        )
    return Moment(time_ms=round(time.timestamp() * 1000))


def say_if_beyond(processor: BatchProcessor, moment: Moment) -> None:
    """Say so where a moment lies behind everything that the shard has seen."""
    state = processor.core.state
    if processor.positions[EVENT] < (moment.offset or 0) or state.log_time_ms < (moment.time_ms or 0):
        sys.stderr.write(f"shard {state.shard}: its journal ends before that; this is its newest state\n")


def described(processor: BatchProcessor) -> dict[str, Any]:
    """What a person wants to know of the state."""
    from topics.envelope import RANK_NAMES

    core = processor.core
    state = core.state
    return {
        "shard": state.shard,
        "epoch": processor.epoch,
        "log_time_ms": state.log_time_ms,
        "positions": dict(zip(RANK_NAMES, processor.positions, strict=True)),
        "serving": core.served.name,
        "version": state.served_version,
        "events": state.counters.events,
        "labels_learned": state.counters.labels_learned,
        "scores": core.served.scores.report(),
        "models": [
            {
                "name": slot.name,
                "version": slot.version,
                "learned": slot.learned,
                "failed": slot.failed,
                "scores": slot.scores.report(),
            }
            for slot in state.slots
        ],
    }


def text_of(found: dict[str, Any]) -> str:
    """A few lines."""
    when = datetime.fromtimestamp(found["log_time_ms"] / 1000, UTC).isoformat(" ", "milliseconds")
    counts = f"{found['events']:,} events, {found['labels_learned']:,} labels learned"
    serving = f"{found['serving']} v{found['version']} serves"
    lines = [f"shard {found['shard']} at log time {when}: {serving}; {counts}"]
    for model in found["models"]:
        rolling = {name: value for name, value in model["scores"]["rolling"].items() if name != "n"}
        said = ", ".join(f"{name} {value:.4f}" for name, value in rolling.items()) or "no label yet"
        lines.append(f"  {model['name']} v{model['version']}, {model['learned']:,} labels: {said}")
    return "".join(f"{line}\n" for line in lines)
