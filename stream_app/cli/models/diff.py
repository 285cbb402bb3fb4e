"""`stream-app models diff`: what differs between two versions, and how differently they answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for
from stream_app.cli.models.choice import chosen, read
from stream_app.cli.models.get import window_text
from stream_app.cli.models.past import Had, have_back, the_one, wanted_of
from stream_app.errors import Refused, printable

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.inspect.model_status import Shard, Standing

ROWS = ("slot", "kind", "status", "parent", "learned", "scores", "why", "data", "definition")


def diff(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    first: int = typer.Argument(..., metavar="A", min=1, help="One version."),
    second: int = typer.Argument(..., metavar="B", min=1, help="Another one."),
    shard: int | None = typer.Option(None, metavar="N", min=0, help="The shard, where several have them."),
    json: bool = typer.Option(False, "--json", help="One JSON object."),
) -> None:
    """Show what differs between two versions of a shard, and how differently they answer the same rows.

    Both are had back as by `models get`, retired ones as they ended, and are asked the sample rows of the
    later one's moment, with the rows that waited for labels then and the newest learned ones. Where one
    cannot be had, the receipts alone are compared.
    """
    pin()
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.past import past_opener

    configure_logs()
    definition, settings = load_app(target), settings_for()
    shards = read(definition, settings, shard)
    found, one = the_one(chosen(shards, first), first)
    found, other = the_one(chosen([found], second), second)
    opener = past_opener(definition, settings)
    had: list[Had | None] = []
    why_not: list[str] = []
    for model in (one, other):
        try:
            had.append(have_back(opener, found, model, wanted_of(found, model)))
        except Refused as error:
            had.append(None)
            why_not.append(f"version {model.version} cannot be had: {error}")
    document = {
        "shard": found.shard,
        "versions": [known(found, model, back) for model, back in zip((one, other), had, strict=True)],
        "answers": answers(definition, *had),
        "not_had": why_not,
    }
    if json:
        print_json(document)
    else:
        sys.stdout.write(text_of(document))


def known(shard: Shard, model: Standing, had: Had | None) -> dict[str, Any]:
    """What is known of one version: of the model that was had back, else of its receipt."""
    receipt = shard.receipts[model.version]
    card = {} if had is None else had.card
    scores = receipt.scores.get(model.slot, receipt.scores.get("rolling"))
    return {
        "version": model.version,
        "slot": model.slot,
        "kind": model.kind,
        "status": model.status,
        "parent": model.parent,
        "learned": card.get("learned", model.learned),
        "scores": card["scores"]["rolling"] if card else scores,
        "why": model.why,
        "data": card.get("data"),
        "definition": card.get("definition"),
    }


def answers(definition: Application, first: Had | None, second: Had | None) -> dict[str, Any] | None:
    """How differently both answer, where both were had back."""
    if first is None or second is None:
        return None
    from stream_app.adapters.snapshot_store import round_trip
    from stream_app.learner.history.answers_differ import compare, rows_of

    later = max((first, second), key=lambda had: sum(had.found.processor.positions))
    found = compare(
        definition,
        first.found.slot,
        second.found.slot,
        rows_of(later.found.processor.core.state),
        lambda model: round_trip(model, definition.modules),
    )
    return msgspec.structs.asdict(found) | {"most": [msgspec.structs.asdict(row) for row in found.most]}


def text_of(document: dict[str, Any]) -> str:
    """Both versions side by side, then their answers."""
    one, other = document["versions"]
    lines = [f"shard {document['shard']}: v{one['version']} and v{other['version']}"]
    for name in ROWS:
        texts = [cell(name, version[name]) for version in (one, other)]
        if texts[0] == texts[1]:
            lines.append(f"  {name:<11} {texts[0]}, both")
        else:
            lines += [
                f"  {name:<11} v{one['version']}: {texts[0]}",
                f"  {'':<11} v{other['version']}: {texts[1]}",
            ]
    lines += [f"  {why}" for why in document["not_had"]]
    if document["answers"] is not None:
        lines += answer_lines(one["version"], other["version"], document["answers"])
    return "".join(f"{printable(line)}\n" for line in lines)


def cell(name: str, value: Any) -> str:
    """One value as text."""
    from stream_app.inspect.explain import score

    if value is None:
        return "unknown" if name != "parent" else "none"
    if name == "scores":
        return score(value) if value.get("n") else "no label yet"
    if name == "data":
        return window_text(value)
    if name == "definition":
        return f"{value['digest']}, its slot {(value['slot'] or 'unknown')[:8]}"
    if name == "parent":
        return f"v{value}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def answer_lines(first: int, second: int, found: dict[str, Any]) -> list[str]:
    """How differently they answer."""
    from orjson import dumps

    if not found["rows"]:
        return ["  there is no row that both answer"]
    share, mean = f"{found['different']:.1%}", f"{found['mean_difference']:.4g}"
    lines = [f"  of {found['rows']:,} rows, {share} are answered differently; the mean difference is {mean}"]
    for version, silent in zip((first, second), found["silent"], strict=True):
        if silent:
            lines.append(f"  v{version} has no answer to {silent:,} more")
    for row in found["most"]:
        texts = [dumps(row[name]).decode() for name in ("row", "first", "second")]
        lines.append(f"  {row['by']:.4g} apart: {texts[0]}: v{first} {texts[1]}, v{second} {texts[2]}")
    return lines
