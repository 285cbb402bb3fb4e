"""The way back: labels and recorded events, written to Kafka by murmur2 placement and confirmed.

Kafka may be away when a predictor starts, and later: predictions go on, and this raises Unreachable at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from stream_app.client.checks import check_id, encoded_key, epoch_ms
from stream_app.client.producer import EventProducer
from stream_app.errors import Refused, StreamAppError, Unreachable
from topics.records import Alert, value_of

CONFIRMED_WITHIN_S = 3.0
RECORDED_WITHIN_S = 0.8  # whoever asks for a prediction waits for that, not for Kafka
RETRY_S = 2.0
# Nobody waits longer than a request may; what is late is answered with 503 and may be sent again.
TUNING = {"linger_ms": 1, "max_block_ms": 1_000, "request_timeout_ms": 2_500, "delivery_timeout_ms": 3_000}
REMEDY = "Send it again: repeats under the same event_id are dropped"
log = structlog.get_logger()


class Feedback:
    """`keep_connected` runs beside the requests; `label`, `event` and `alert` write one record each."""

    def __init__(self, app: str, kafka: Mapping[str, Any]) -> None:
        self.app, self.kafka = app, kafka
        self.producer: Confirming | None = None
        self.connected = asyncio.Event()
        self.closing = False

    async def keep_connected(self) -> None:
        """Until connected: try; the client keeps itself connected from then on."""
        while self.producer is None:
            try:
                await asyncio.to_thread(self.connect)
                self.connected.set()
            except StreamAppError as error:
                log.warning("feedback cannot be written now", why=str(error))
                await asyncio.sleep(RETRY_S)

    def connect(self) -> None:
        """On a thread, which goes on when this server ends meanwhile: then nobody else would let go of it."""
        producer = self.producer = Confirming(self.app, self.kafka, **TUNING)
        if self.closing:
            producer.close()

    async def label(
        self, key: str, event_id: str, label: Any, weight: float | None, time_ms: int | None
    ) -> None:
        """Write the truth about an event, under its key.

        Raises:
            UsageError: a learner would refuse it; the remedy names the fix.
            Unreachable: it is not known to be written; send it again.
        """
        check_id(event_id)
        value: dict[str, Any] = {"v": 1, "event_id": event_id, "label": label}
        if weight is not None:
            value["weight"] = weight
        await self.write("labels", encoded_key(key), value, epoch_ms(time_ms))

    async def event(self, key: str, event_id: str, features: Mapping[str, Any], time_ms: int) -> None:
        """Write an event, to be predicted and, once its label comes, learned; raises as `label` does."""
        check_id(event_id)
        value = {"v": 1, "event_id": event_id, "features": features}
        try:
            async with asyncio.timeout(RECORDED_WITHIN_S):
                await self.write("events", encoded_key(key), value, epoch_ms(time_ms))
        except TimeoutError as error:
            raise Unreachable(f"{self.app}.events was not written in time", REMEDY) from error

    async def alert(self, alert: Alert) -> None:
        """Write an alert of this predictor; its id identifies repeats. It is logged in any case."""
        try:
            key, value = alert.alert_id.encode(), value_of(alert)
            await self.write("alerts", key, value, alert.time_ms, alert.shard)
        except StreamAppError as error:
            log.warning("an alert could not be written", alert=alert.alert_id, why=str(error))

    async def write(
        self, name: str, key: bytes, value: dict[str, Any], time_ms: int | None, shard: int | None = None
    ) -> None:
        """One record, confirmed by the broker."""
        producer = self.producer
        if producer is None:
            raise Unreachable("Kafka does not answer", REMEDY)
        loop = asyncio.get_running_loop()
        confirmed: asyncio.Future[None] = loop.create_future()

        def settle(error: Exception | None) -> None:
            if not confirmed.done():
                confirmed.set_exception(error) if error is not None else confirmed.set_result(None)

        def send() -> None:
            future = producer.write(name, key, value, time_ms, shard)
            future.add_callback(lambda _: loop.call_soon_threadsafe(settle, None))
            future.add_errback(lambda error: loop.call_soon_threadsafe(settle, error))

        try:
            async with asyncio.timeout(CONFIRMED_WITHIN_S):
                await asyncio.to_thread(send)
                await confirmed
        except TimeoutError as error:
            raise Unreachable(f"{self.app}.{name} was not written in time", REMEDY) from error
        except Refused:
            raise
        except StreamAppError as error:
            if error.exit_code == 1:
                raise Unreachable(error.message, REMEDY) from error
            raise
        except Exception as error:
            raise Unreachable(
                f"{self.app}.{name} was not written ({type(error).__name__})", REMEDY
            ) from error

    async def close(self) -> None:
        """Let what is on its way arrive."""
        self.closing = True
        if self.producer is not None:
            await asyncio.to_thread(self.producer.close)


class Confirming(EventProducer):
    """A producer that reports each failure to the caller that it belongs to."""

    def note(self, topic: str, error: Exception) -> None:
        """Nothing to keep for the next call."""
