"""Orders to shards: written into the log, waited for, and printed shard by shard."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

import typer

from stream_app.cli.context import print_json
from stream_app.errors import Refused, UsageError, printable

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.settings import Settings

REASON = typer.Option(..., metavar="TEXT", help="Why; it stays in the log.")
ACTOR = typer.Option(None, metavar="NAME", help="Who; default the system's user name.")
TIMEOUT = typer.Option(30.0, metavar="S", min=0, help="Wait this long for the answers.")


def check_shard(definition: Application, shard: int | None) -> None:
    """Refuse a shard that the application does not have.

    Raises:
        UsageError: with the shards that there are.
    """
    if shard is None or shard < definition.shards:
        return
    there = "shard 0 only" if definition.shards == 1 else f"shards 0 to {definition.shards - 1}"
    raise UsageError(f"there is no shard {shard}", f"{definition.name} has {there}")


def carry_out(
    definition: Application,
    settings: Settings,
    order: str,
    *,
    reason: str,
    actor: str | None,
    timeout_s: float,
    json: bool,
    shard: int | None = None,
    key: str | None = None,
    slot: str | None = None,
    version: int | None = None,
) -> None:
    """Send an order, print what each shard answered, and end with 1 where one refused it.

    Raises:
        Refused: a shard did not answer in time; the order stays in the log.
    """
    from stream_app.client.producer import EventProducer
    from stream_app.inspect.commands import Outcomes

    kafka = settings.kafka.kafka_python()
    with Outcomes(definition.name, kafka) as outcomes:
        with EventProducer(definition.name, kafka) as producer:
            sent = producer.command(
                order,
                actor=actor or getpass.getuser(),
                reason=reason,
                shard=shard,
                key=key,
                slot=slot,
                version=version,
            )
        answers = outcomes.of(sent, timeout_s)
    for number in sent.shards:
        answer = answers.get(number)
        outcome, why = (answer.outcome, answer.why) if answer else ("unanswered", "")
        if json:
            line = {"shard": number, "command_id": sent.command_id, "outcome": outcome, "why": why}
            print_json(line)
        else:
            suffix = f": {printable(why)}" if why else ""
            sys.stdout.write(f"shard {number} {outcome}{suffix}\n")
    silent = [str(number) for number in sent.shards if number not in answers]
    if silent:
        raise Refused(
            f"no learner answered for shard {', '.join(silent)} within {timeout_s:g} s",
            "Start a learner; the command stays in the log and will be carried out",
        )
    if any(answer.outcome == "refused" for answer in answers.values()):
        raise typer.Exit(1)
