"""Carries out one route's plans. An alert counts as sent once the channel has it and the table says so.

What a channel can never deliver leaves the queue: the table notes it, and another route gets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from stream_app.ops.channels import Channel, Undeliverable, verdict
from stream_app.ops.intake import FAILING, SENT, SILENCED, SUMMARISED, AlertIntake
from stream_app.ops.notification import Item, Notification
from stream_app.ops.routing import RouteQueue

LONGEST_SLEEP_S = 1.0  # silences and clocks change meanwhile
AGAIN_MS = 3_600_000  # a route that goes on to refuse is an alert once in this time
log = structlog.get_logger()


class DeliveryCounts(Protocol):
    """What deliveries count."""

    def notified(self, channel: str, route: str, outcome: str) -> None: ...

    def held_back(self, route: str, n: int) -> None: ...

    def undelivered(self, route: str, n: int) -> None: ...

    def outbox(self, route: str, waiting: int, oldest_ms: int | None) -> None: ...


class Delivery:
    """`written` returns when the tables' changes are durable; `active`: this process owns them."""

    def __init__(
        self,
        queue: RouteQueue,
        channel: Channel,
        intakes: Mapping[str, AlertIntake],
        counts: DeliveryCounts,
        now_ms: Callable[[], int],
        written: Callable[[], Awaitable[None]],
        failing_s: float,
    ) -> None:
        self.queue, self.channel, self.intakes, self.counts = queue, channel, intakes, counts
        self.now_ms, self.written, self.failing_ms = now_ms, written, round(1000 * failing_s)
        self.active = asyncio.Event()
        self.refused_ms: int | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.active.wait()
            self.queue.changed.clear()
            plan = self.queue.plan(self.now_ms())
            if plan.silenced:
                await self.record_outcome(plan.silenced, SILENCED)
            if plan.notification is not None:
                await self.attempt(plan.notification)
                continue
            self.report_outbox()
            wait_s = LONGEST_SLEEP_S
            if plan.wake_ms is not None:
                wait_s = min(wait_s, max(0.0, (plan.wake_ms - self.now_ms()) / 1000))
            try:
                async with asyncio.timeout(wait_s):
                    await self.queue.changed.wait()
            except TimeoutError:
                continue

    async def attempt(self, notification: Notification) -> None:
        """Send it, once as the queue sees it; the channel tries a few times in a row."""
        route = self.queue.route
        try:
            await self.channel.send(notification, self.now_ms())
        except Exception as error:
            never = verdict(error)
            if never is not None:
                await self.refuse(notification, never)
                return
            self.queue.failed(self.now_ms())
            self.counts.notified(route.channel, route.name, "failed")
            # The address may hold a token, and some errors quote it.
            log.warning(
                "delivery failed",
                route=route.name,
                error=type(error).__name__,
                alerts=len(notification.items),
            )
            self.complain(type(error).__name__)
            return
        self.counts.notified(route.channel, route.name, "sent")
        if notification.summary:
            self.counts.held_back(route.name, len(notification.items))
        self.queue.delivered(notification, self.now_ms())
        await self.record_outcome(notification.items, SUMMARISED if notification.summary else SENT)

    async def record_outcome(self, items: list[Item], outcome: str) -> None:
        """Write durably; without ownership the tables are another's, who sends it again under the same id."""
        if self.active.is_set():
            for item in items:
                self.intakes[item.app].record_outcome(item, self.queue.route.name, outcome)
            await self.written()

    async def refuse(self, notification: Notification, error: Undeliverable) -> None:
        """Take what the channel never will deliver out of the queue; other routes get it."""
        route = self.queue.route
        if not self.active.is_set():
            return  # the table cannot be written now; it is tried again by the owner
        self.counts.notified(route.channel, route.name, "refused")
        left = self.queue.refused(notification, splits=error.splits)
        log.error(
            "notification refused",
            route=route.name,
            error=str(error),
            alerts=len(notification.items),
            given_up=len(left),
        )
        if not left:
            return
        self.counts.undelivered(route.name, len(left))
        now_ms = self.now_ms()
        for item in left:
            self.intakes[item.app].refused(item, route.name, now_ms)
        first = next((item for item in left if item.alert.type != FAILING), None)
        if first is not None and (self.refused_ms is None or now_ms - self.refused_ms >= AGAIN_MS):
            self.refused_ms = now_ms
            alerts = "1 alert" if len(left) == 1 else f"{len(left)} alerts"
            message = f"route {route.name} gave up {alerts} that its channel refuses ({error})"
            self.raise_alert(first, message, {"alerts": len(left)}, now_ms)
        await self.written()

    def complain(self, error: str) -> None:
        """Raise an alert about the route itself, by the oldest alert that it does not deliver."""
        now_ms, since_ms = self.now_ms(), self.queue.turn.failing_ms
        if since_ms is None or now_ms - since_ms < self.failing_ms or not self.active.is_set():
            return
        waiting = self.queue.waiting()
        # Of two routes that fail, each would otherwise complain about the other's complaints.
        others = [item for item in waiting if item.alert.type != FAILING]
        if not others:
            return
        oldest = min(others, key=lambda item: (item.alert.time_ms, item.alert.alert_id))
        seconds = round((now_ms - since_ms) / 1000)
        message = f"route {self.queue.route.name} has failed to deliver for {seconds} s ({error})"
        self.raise_alert(oldest, message, {"waiting": len(waiting)}, now_ms)

    def raise_alert(self, cause: Item, message: str, evidence: dict[str, object], now_ms: int) -> None:
        """One for each alert that was not delivered and its route, however often it fails."""
        route, alert = self.queue.route.name, cause.alert
        evidence = {"route": route, "oldest": alert.alert_id, **evidence}
        name = f"{route}/{alert.alert_id}"[-256:]
        intake = self.intakes[cause.app]
        intake.notice(FAILING, alert.shard, message, evidence, name, now_ms)

    def report_outbox(self) -> None:
        waiting = self.queue.waiting()
        oldest = min((item.alert.time_ms for item in waiting), default=None)
        self.counts.outbox(self.queue.route.name, len(waiting), oldest)
