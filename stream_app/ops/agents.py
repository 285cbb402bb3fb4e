"""Faust's agents over an application's topics. What cannot be taken is a dead letter, and they go on.

A change is durable before its record is acknowledged: without that a kill between the two would lose it.
Faust drops the record of an agent that raises, so what must not be lost ends the process instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import faust
import structlog
from faust.streams import Stream
from faust.types import EventT

from stream_app.ops.faust_app import raw_topic
from stream_app.ops.intake import HEADER, AlertIntake, Message, UnfitError
from topics.catalog import Catalog
from topics.reasons import OPS_ERROR

STAGE = "ops"
AT_ONCE, WITHIN_S = 500, 0.1
log = structlog.get_logger()


class AgentCounts(Protocol):
    """What agents count."""

    def agent_failed(self, app: str, topic: str) -> None: ...


class AgentContext(NamedTuple):
    """What agents need of the process: durable tables, the clock, and its end."""

    written: Callable[[], Awaitable[None]]
    now_ms: Callable[[], int]
    abort: Callable[[Exception], None]
    counts: AgentCounts


def attach(app: faust.App, intake: AlertIntake, topics: Catalog, context: AgentContext) -> None:
    """Agents of one application, one for each topic."""
    letters = raw_topic(app, topics.dead_letters.name, intake.shards)
    handlers = {
        topics.alerts.name: intake.on_alert,
        topics.stats.name: intake.on_stats,
        topics.models.name: intake.on_model,
        topics.dead_letters.name: intake.on_letter,
    }
    for name, handle in handlers.items():
        topic = letters if name == letters.get_topic_name() else raw_topic(app, name, intake.shards)
        agent = app.agent(topic, name=f"{STAGE}.{name}", use_reply_headers=False)
        agent(following(intake, handle, letters, context))


def following(
    intake: AlertIntake, handle: Callable[[Message, int], None], letters: Any, context: AgentContext
) -> Callable[[Any], Awaitable[None]]:
    """What an agent runs."""

    async def follow(stream: Stream[Any]) -> None:
        async for events in stream.take_events(AT_ONCE, WITHIN_S):
            try:
                for event in events:
                    await one(event)
                await context.written()
            except Exception as error:
                context.abort(error)
                raise

    async def one(event: EventT[Any]) -> None:
        message = message_of(event)
        try:
            handle(message, context.now_ms())
        except UnfitError as error:
            await refuse(message, error.reason, str(error))
        except Exception as error:
            log.exception("a record ended its handler", topic=message.topic, offset=message.offset)
            await refuse(message, OPS_ERROR, f"{type(error).__name__}: {error}")

    async def refuse(message: Message, reason: str, text: str) -> None:
        context.counts.agent_failed(intake.app, message.topic)
        place = f"{message.topic}/{message.partition}@{message.offset}"
        log.warning("not taken", record=place, reason=reason, message=text)
        if message.topic == letters.get_topic_name():
            return  # a letter about a letter would be read here again, for ever
        fields = {
            "reason": reason,
            "message": text[:1_000],
            "stage": STAGE,
            "topic": message.topic,
            "partition": str(message.partition),
            "offset": str(message.offset),
        }
        headers = [*message.headers, *((HEADER + name, value.encode()) for name, value in fields.items())]
        await (
            await letters.send(
                key=message.key, value=message.value, partition=message.partition, headers=headers
            )
        )

    return follow


def message_of(event: EventT[Any]) -> Message:
    """A record as it came; its time in ms."""
    message = event.message
    headers = message.headers or ()
    pairs: list[Any] = list(headers.items()) if isinstance(headers, dict) else list(headers)
    return Message(
        message.topic,
        message.partition,
        message.offset,
        round(1000 * message.timestamp),
        message.key,
        message.value,
        pairs,
    )
