"""`stream-app command MODULE:APP pause|resume|forget`: orders to shards, and what they answered."""

from __future__ import annotations

import getpass
import sys

import typer

from stream_app.cli.context import load_app, print_json, printable, settings_for
from stream_app.errors import Refused, UsageError
from topics.records import COMMANDS

app = typer.Typer()


@app.command()
def command(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    order: str = typer.Argument(..., metavar="|".join(COMMANDS)),
    shard: int | None = typer.Option(None, metavar="N", min=0, help="Only this shard; default all."),
    key: str | None = typer.Option(None, metavar="K", help="The entity to forget."),
    reason: str = typer.Option(..., metavar="TEXT", help="Why; it stays in the log."),
    actor: str | None = typer.Option(None, metavar="NAME", help="Who; default the system's user name."),
    timeout: float = typer.Option(30.0, metavar="S", min=0, help="Wait this long for the answers."),
    json: bool = typer.Option(False, "--json", help="One JSON object per shard."),
) -> None:
    """Write an order into the log and wait until each shard has carried it out; exit 1 if one refused it.

    Pause: predict and score, learn nothing. Resume: learn again. Forget: drop what is stored of an entity.
    """
    check(order, shard, key)
    from stream_app.client.commands import Outcomes
    from stream_app.client.producer import EventProducer

    definition, settings = load_app(target), settings_for()
    if shard is not None and shard >= definition.shards:
        raise UsageError(
            f"there is no shard {shard}", f"{definition.name} has shards 0 to {definition.shards - 1}"
        )
    kafka = settings.kafka.kafka_python()
    with Outcomes(definition.name, kafka) as outcomes:
        with EventProducer(definition.name, kafka) as producer:
            sent = producer.command(
                order, actor=actor or getpass.getuser(), reason=reason, shard=shard, key=key
            )
        answers = outcomes.of(sent, timeout)
    for number in sent.shards:
        answer = answers.get(number)
        outcome, why = (answer.outcome, answer.why) if answer else ("unanswered", "")
        if json:
            line = {"shard": number, "command_id": sent.command_id, "outcome": outcome, "why": why}
            print_json(line)
        else:
            told = f": {printable(why)}" if why else ""
            sys.stdout.write(f"shard {number} {outcome}{told}\n")
    silent = [str(number) for number in sent.shards if number not in answers]
    if silent:
        raise Refused(
            f"no learner answered for shard {', '.join(silent)} within {timeout:g} s",
            "Start a learner; the command stays in the log and will be carried out",
        )
    if any(answer.outcome == "refused" for answer in answers.values()):
        raise typer.Exit(1)


def check(order: str, shard: int | None, key: str | None) -> None:
    """Refuse words that do not go together.

    Raises:
        UsageError: an unknown order, or one with what belongs to another.
    """
    if order not in COMMANDS:
        raise UsageError(f"unknown command {order!r}", f"Choose one of {', '.join(COMMANDS)}")
    if order == "forget" and (key is None or shard is not None):
        raise UsageError("forget concerns one entity", "Give --key K alone; it names the shard too")
    if order != "forget" and key is not None:
        raise UsageError(f"{order} concerns whole shards", "Give --shard N, or nothing for all of them")
