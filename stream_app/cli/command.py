"""`stream-app command MODULE:APP pause|resume|forget`: orders to shards, and what they answered."""

from __future__ import annotations

import typer

from stream_app.cli.context import load_app, settings_for
from stream_app.cli.orders import ACTOR, REASON, TIMEOUT, carry_out, check_shard
from stream_app.errors import UsageError
from topics.records import COMMANDS

app = typer.Typer()
ORDERS = ("pause", "resume", "forget")


@app.command()
def command(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    order: str = typer.Argument(..., metavar="|".join(ORDERS)),
    shard: int | None = typer.Option(None, metavar="N", min=0, help="Only this shard; default all."),
    key: str | None = typer.Option(None, metavar="K", help="The entity to forget."),
    reason: str = REASON,
    actor: str | None = ACTOR,
    timeout: float = TIMEOUT,
    json: bool = typer.Option(False, "--json", help="One JSON object per shard."),
) -> None:
    """Write an order into the log and wait until each shard has carried it out; exit 1 if one refused it.

    Pause: predict and score, learn nothing. Resume: learn again. Forget: drop what is stored of an entity.
    What concerns models is ordered by `stream-app models`.
    """
    check(order, shard, key)
    definition, settings = load_app(target, models=False), settings_for()
    check_shard(definition, shard)
    carry_out(
        definition,
        settings,
        order,
        reason=reason,
        actor=actor,
        timeout_s=timeout,
        json=json,
        shard=shard,
        key=key,
    )


def check(order: str, shard: int | None, key: str | None) -> None:
    """Refuse words that do not go together.

    Raises:
        UsageError: an unknown order, or one with what belongs to another.
    """
    if order not in ORDERS and order in COMMANDS:
        raise UsageError(f"{order} concerns models", f"Use `stream-app models {order} MODULE:APP`")
    if order not in ORDERS:
        raise UsageError(f"unknown command {order!r}", f"Choose one of {', '.join(ORDERS)}")
    if order == "forget" and (key is None or shard is not None):
        raise UsageError("forget concerns one entity", "Give --key K alone; it names the shard too")
    if order != "forget" and key is not None:
        raise UsageError(f"{order} concerns whole shards", "Give --shard N, or nothing for all of them")
