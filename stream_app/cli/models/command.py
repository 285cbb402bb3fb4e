"""`stream-app models …`: the models of each shard, versions of them as they were, and orders."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
import orjson
import typer

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.cli.models.choice import check_named, chosen, read
from stream_app.cli.models.diff import diff
from stream_app.cli.models.get import get
from stream_app.cli.models.mlflow import mlflow
from stream_app.cli.models.past import snapshot_before
from stream_app.cli.orders import ACTOR, REASON, TIMEOUT, carry_out, check_shard
from stream_app.errors import printable

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.inspect.model_status import Shard, Standing
    from stream_app.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Which models there are and why; promote, roll back or drop.")
TARGET = typer.Argument(..., metavar="MODULE:APP")
SHARD = typer.Option(None, metavar="N", min=0, help="Only this shard; default all.")
JSON_MODEL = typer.Option(False, "--json", help="One JSON object per model.")
JSON_SHARD = typer.Option(False, "--json", help="One JSON object per shard.")
VERSION = typer.Option(None, metavar="V", min=1, help="The model's version, as listed by `models ls`.")
SLOT = typer.Option(None, metavar="NAME", help="The model's slot instead of its version.")
HEADINGS = ("version", "slot", "kind", "status", "weight", "parent", "since", "learned", "rolling", "why")
PIPED_WIDTH = 200
NO_LEARNER = "no learner ever ran"


@app.command()
def ls(
    target: str = TARGET,
    shard: int | None = SHARD,
    everything: bool = typer.Option(False, "--all", help="Retired models too."),
    json: bool = JSON_MODEL,
) -> None:
    """Each shard's models: what they are, since when, what they have learned, and why they are there.

    Rolling scores are of the last 1,000 served predictions; a candidate serves nothing yet.
    """
    for found in read(*context(target), shard):
        models = found.models if everything else found.living()
        models = models if found.blend is None else [found.blend, *models]
        if json:
            for model in models:
                print_json(msgspec.to_builtins(model))
        elif not found.models:
            sys.stdout.write(f"{empty(found)}\n")
        else:
            draw(found.shard, models)


@app.command()
def show(
    target: str = TARGET,
    version: int = typer.Option(..., metavar="V", min=1, help="The model's version."),
    shard: int | None = SHARD,
    json: bool = JSON_MODEL,
) -> None:
    """The whole newest receipt of one version, from each shard that has one.

    `snapshot` is added: the file from which `models get` would replay it.
    """
    definition, settings = context(target)
    for found, model in chosen(read(definition, settings, shard), version):
        receipt = msgspec.to_builtins(found.receipts[model.version])
        receipt["snapshot"] = snapshot_before(definition, settings, found, version)
        if json:
            print_json(receipt)
            continue
        sys.stdout.write(
            printable(f"shard {found.shard}: {model.slot} v{model.version}, {model.status}") + "\n"
        )
        for line in orjson.dumps(receipt, option=orjson.OPT_INDENT_2).decode().splitlines():
            sys.stdout.write(printable(line) + "\n")


@app.command()
def why(
    target: str = TARGET,
    version: int | None = VERSION,
    shard: int | None = SHARD,
    json: bool = JSON_MODEL,
) -> None:
    """Why a model serves, or what became of it, in plain words; default the model that serves."""
    from stream_app.inspect import explain

    definition, settings = context(target)
    shards = read(definition, settings, shard)
    if version is None and not json:
        for found in shards:
            if found.serving() is None:
                sys.stdout.write(f"{empty(found)}\n")
    for found, model in chosen(shards, version):
        sentences = explain.why(found, model, definition.loss)
        if json:
            receipt = found.receipts[model.version]
            print_json(
                {
                    **msgspec.to_builtins(model),
                    "alarm": msgspec.to_builtins(explain.part(receipt, explain.Alarm)),
                    "test": msgspec.to_builtins(explain.part(receipt, explain.Comparison)),
                    "order": msgspec.to_builtins(explain.part(receipt, explain.Order)),
                    "scores": receipt.scores,
                    "words": sentences,
                }
            )
            continue
        sys.stdout.write(f"shard {found.shard}\n")
        for sentence in sentences:
            sys.stdout.write(f"  {sentence}\n")


app.command()(get)
app.command()(diff)
app.command()(mlflow)


@app.command()
def promote(
    target: str = TARGET,
    version: int | None = VERSION,
    slot: str | None = SLOT,
    shard: int | None = SHARD,
    reason: str = REASON,
    actor: str | None = ACTOR,
    timeout: float = TIMEOUT,
    json: bool = JSON_SHARD,
) -> None:
    """Let another model serve, without asking for evidence; exit 1 if a shard refuses.

    The previous model goes on learning during a probation, and comes back by itself if it loses less.
    """
    definition, settings = context(target)
    check_named(definition, settings, "promote", version, slot, shard)
    carry_out(
        definition,
        settings,
        "promote",
        reason=reason,
        actor=actor,
        timeout_s=timeout,
        json=json,
        shard=shard,
        slot=slot,
        version=version,
    )


@app.command()
def rollback(
    target: str = TARGET,
    shard: int | None = SHARD,
    reason: str = REASON,
    actor: str | None = ACTOR,
    timeout: float = TIMEOUT,
    json: bool = JSON_SHARD,
) -> None:
    """Go back to the model that served before, as long as it is kept; exit 1 if a shard refuses."""
    definition, settings = context(target)
    check_shard(definition, shard)
    carry_out(
        definition,
        settings,
        "rollback",
        reason=reason,
        actor=actor,
        timeout_s=timeout,
        json=json,
        shard=shard,
    )


@app.command()
def drop(
    target: str = TARGET,
    version: int | None = VERSION,
    slot: str | None = SLOT,
    shard: int | None = SHARD,
    reason: str = REASON,
    actor: str | None = ACTOR,
    timeout: float = TIMEOUT,
    json: bool = JSON_SHARD,
) -> None:
    """End a model that does not serve; exit 1 if a shard refuses. What it has learned is gone."""
    definition, settings = context(target)
    check_named(definition, settings, "drop", version, slot, shard)
    carry_out(
        definition,
        settings,
        "drop",
        reason=reason,
        actor=actor,
        timeout_s=timeout,
        json=json,
        shard=shard,
        slot=slot,
        version=version,
    )


def context(target: str) -> tuple[Application, Settings]:
    """The definition and the settings."""
    return load_app(target, models=False), settings_for()


def empty(shard: Shard) -> str:
    """What to say of a shard without models."""
    if shard.ran:
        return f"shard {shard.shard}: no model yet, for its learner has not read a record"
    return f"shard {shard.shard}: {NO_LEARNER}; start one with `stream-app learn MODULE:APP`"


def draw(shard: int, models: list[Standing]) -> None:
    """One shard's models as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    table = Table(title=f"shard {shard}", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for model in models:
        table.add_row(*(Text(printable(cell)) for cell in cells(model)))
    console.print(table)


def cells(model: Standing) -> list[str]:
    """One line of the table."""
    from stream_app.inspect.explain import moment, score

    rolling = model.rolling if model.rolling and model.rolling.get("n") else None
    return [
        f"v{model.version}",
        model.slot,
        model.kind,
        model.role,
        "–" if model.weight is None else f"{model.weight:.1%}",
        "–" if model.parent is None else f"v{model.parent}",
        "–" if model.since_ms is None else moment(model.since_ms),
        "–" if model.learned is None else f"{model.learned:,}",
        score(rolling) if rolling else "–",
        model.why if model.failed is None else f"failed: {model.failed}",
    ]
