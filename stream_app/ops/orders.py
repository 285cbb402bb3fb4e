"""An operator's order from the page: written to the log like one of the command line, and waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from stream_app.client.connect import Kafka
from stream_app.client.producer import EventProducer
from stream_app.inspect.commands import Outcomes

WITHIN_S = 20.0


class CommandRequest(BaseModel):
    """What to do; `shard` null means all of them. promote and drop name a slot or a version."""

    model_config = ConfigDict(extra="forbid", strict=True)
    app: str = Field(min_length=1, max_length=200)
    command: Literal["promote", "rollback", "pause", "resume", "drop"]
    reason: str = Field(min_length=1, max_length=500)
    actor: str = Field("", max_length=100)
    shard: int | None = Field(None, ge=0)
    slot: str | None = Field(None, min_length=1, max_length=200)
    version: int | None = Field(None, ge=1)


class ShardOutcome(msgspec.Struct):
    """`outcome`: done, refused or unanswered; an order that nobody answered stays in the log."""

    shard: int
    outcome: str
    why: str


Order = Callable[[CommandRequest], list[ShardOutcome]]  # blocks; called in a thread


def orders(kafka: Kafka, within_s: float = WITHIN_S) -> Order:
    """Orders through these brokers.

    Raises:
        Refused: no broker answers, or a topic is missing.
    """

    def carry_out(asked: CommandRequest) -> list[ShardOutcome]:
        with Outcomes(asked.app, kafka) as outcomes:
            with EventProducer(asked.app, kafka) as producer:
                sent = producer.command(
                    asked.command,
                    actor=asked.actor,
                    reason=asked.reason,
                    shard=asked.shard,
                    slot=asked.slot,
                    version=asked.version,
                )
            answers = outcomes.of(sent, within_s)
        return [
            ShardOutcome(shard, answers[shard].outcome, answers[shard].why)
            if shard in answers
            else ShardOutcome(shard, "unanswered", f"no learner answered within {within_s:g} s")
            for shard in sent.shards
        ]

    return carry_out
