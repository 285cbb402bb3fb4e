"""`stream-app models get`: a version of a model as it was, as a signed file with its card."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stream_app.cli.context import check_writable, load_app, owner_only, pin, print_json, settings_for
from stream_app.cli.models.choice import chosen, read
from stream_app.cli.models.past import Had, have_back, the_one, wanted_of
from stream_app.errors import Refused, printable

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.settings import Settings

SERVED = typer.Option(False, "--served", help="As it was when it last served; default as it was last.")
AS_OF = typer.Option(
    None, "--as-of", metavar="OFFSET", min=0, help="As it was right before the event at this offset."
)


def get(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    version: int = typer.Option(..., metavar="V", min=1, help="The model's version."),
    shard: int | None = typer.Option(None, metavar="N", min=0, help="The shard, where several have it."),
    save: Path | None = typer.Option(None, metavar="FILE", help="The file; default APP-vV.model."),
    served: bool = SERVED,
    as_of: int | None = AS_OF,
    json: bool = typer.Option(False, "--json", help="Print the card as one JSON object."),
) -> None:
    """Write a version of a model to a signed file: as it is now, or, where it is retired, as it ended.

    The journal is replayed from the newest snapshot before that, every digest compared. In a notebook:
    `from stream_app.model_file import load; model, card = load(FILE, keys=[PUBLIC KEY])`. Nothing is joined.
    """
    pin()
    owner_only()
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.learner import signing_key

    configure_logs()
    check_writable(save)
    definition, settings = load_app(target), settings_for()
    key = signing_key(settings)
    had = fetched(definition, settings, version, shard, served=served, as_of=as_of)
    file = save if save is not None else Path(file_name(definition, had.card))
    data = as_file(definition, key, had)
    file.write_bytes(data)
    if json:
        print_json(had.card)
    else:
        sys.stdout.write(text_of(had.card))
    sys.stderr.write(f"wrote {len(data):,} bytes to {file}\n")


def fetched(
    definition: Application,
    settings: Settings,
    version: int,
    shard: int | None,
    *,
    served: bool,
    as_of: int | None,
) -> Had:
    """The version that is asked for, and its card.

    Raises:
        UsageError: no shard has it, or several do.
        Refused: what is retained does not reach that moment.
    """
    from stream_app.wiring.past import past_opener

    found, model = the_one(chosen(read(definition, settings, shard), version), version)
    wanted = wanted_of(found, model, served=served, offset=as_of)
    return have_back(past_opener(definition, settings), found, model, wanted)


def as_file(definition: Application, key: bytes, had: Had) -> bytes:
    """The bytes of a signed file.

    Raises:
        Refused: no file can hold the model.
    """
    from stream_app.model_file import sealed

    rows = list(had.found.processor.core.state.sample_rows)
    slot = had.found.slot
    try:
        return sealed(key, had.card, slot.model, rows, definition.modules)
    except Exception as error:  # a model may raise anything when it is stored and loaded
        raise Refused(
            f"no file can hold {slot.name} v{slot.version} ({type(error).__name__}: {error})",
            "Correct the model's class: what a snapshot cannot hold, a file cannot either",
        ) from error


def file_name(definition: Application, card: dict[str, Any]) -> str:
    """Where a version is written by default: the shard is named where there are several."""
    shard = f"-{card['shard']}" if definition.shards > 1 else ""
    return f"{definition.name}{shard}-v{card['version']}.model"


def text_of(card: dict[str, Any]) -> str:
    """The card in a few lines."""
    from stream_app.inspect.explain import score

    head = f"{card['slot']} v{card['version']} of {card['application']}, shard {card['shard']}"
    about = {
        "status": f"{card['status']}: {card['why']}",
        "as of": MOMENTS[card["as_of"]],
        "learned": f"{card['learned']:,} labels",
        "served": score(card["scores"]["cumulative"]),
        "data": window_text(card["data"]),
        "definition": f"{card['definition']['digest']}, {card['task']}",
        "made with": f"river {card['libraries'].get('river')}, Python {card['python']}, {card['platform']}",
    }
    lines = [head, *(f"  {name:<10}  {text}" for name, text in about.items())]
    return "".join(f"{printable(line)}\n" for line in lines)


MOMENTS = {
    "newest": "the newest committed batch",
    "ended": "the record with which it ended",
    "served": "the record with which another model began to serve",
    "offset": "right before the event that was named",
}


def window_text(data: dict[str, Any]) -> str:
    """From which event to which, and when."""
    first, last = data["from"], data["to"]
    begin = "unknown" if first is None else place_text(first)
    return f"from {begin} to {place_text(last)}"


def place_text(place: dict[str, Any]) -> str:
    """One end of a window."""
    if place["positions"] is None:
        return f"batch {place['batch']}"
    when = datetime.fromtimestamp(place["log_time_ms"] / 1000, UTC).isoformat(" ", "seconds")
    return f"event {place['positions']['events']:,} ({when})"
