"""Where notifications go. `send` returns once the other side has said that it has them, else it raises."""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

import httpx
import orjson
import stamina
import structlog

from stream_app.errors import UsageError
from stream_app.ops.notification import ENDED, Item, Notification
from stream_app.settings.ops import Route

SIGNATURE, TIMESTAMP, KEY = "X-Stream-App-Signature", "X-Stream-App-Timestamp", "Idempotency-Key"
STANDS_FOR = timedelta(hours=1)  # an alert is an event: Alertmanager shows it for so long after it was told
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 2.0
log = structlog.get_logger()


class Channel(Protocol):
    """One way to tell people."""

    async def send(self, told: Notification, now_ms: int) -> None:
        """Raises whatever went wrong; a second time with the same notification is harmless."""

    async def close(self) -> None: ...


class Log:
    """A line for each notification, on stderr like every other."""

    async def send(self, told: Notification, now_ms: int) -> None:  # noqa: ARG002
        body = told.body()
        log.warning(
            "alerts", **{name: body[name] for name in ("id", "title", "count", "counts", "alert_ids")}
        )

    async def close(self) -> None:
        """Nothing is open."""


class Posts:
    """JSON by POST with retries. What may be retried is a matter of the request's idempotency key."""

    def __init__(self, route: Route) -> None:
        self.url, self.attempts = route.url.get_secret_value(), route.attempts
        self.http = httpx.AsyncClient(timeout=route.timeout_s, trust_env=False)

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Raises httpx.HTTPError when the last attempt failed too."""
        async for attempt in stamina.retry_context(
            httpx.HTTPError, self.attempts, None, wait_initial=FIRST_WAIT_S, wait_max=LONGEST_WAIT_S
        ):
            with attempt:
                response = await self.http.post(
                    url, content=body, headers={"Content-Type": "application/json", **headers}
                )
                response.raise_for_status()

    async def close(self) -> None:
        await self.http.aclose()


class Webhook(Posts):
    """The notification as JSON. A secret signs it: HMAC-SHA256 over `<timestamp>.<body>`, as hex digits."""

    def __init__(self, route: Route) -> None:
        super().__init__(route)
        self.secret = route.secret.get_secret_value().encode() if route.secret else None

    async def send(self, told: Notification, now_ms: int) -> None:
        body = orjson.dumps(told.body())
        headers = {KEY: told.id}
        if self.secret is not None:
            stamp = str(now_ms // 1000)
            signed = hmac.new(self.secret, stamp.encode() + b"." + body, sha256).hexdigest()
            headers |= {TIMESTAMP: stamp, SIGNATURE: f"sha256={signed}"}
        await self.post(self.url, body, headers)


class Alertmanager(Posts):
    """Prometheus Alertmanager's API v2: every alert by itself, since it groups and repeats on its own."""

    async def send(self, told: Notification, now_ms: int) -> None:
        body = orjson.dumps([alertmanager_alert(item, now_ms) for item in told.items])
        await self.post(self.url.rstrip("/") + "/api/v2/alerts", body, {})


def alertmanager_alert(item: Item, now_ms: int) -> dict[str, Any]:
    """An alert in Alertmanager's words; one that ends another has its labels, and an end."""
    app, alert = item
    ended = alert.evidence.get(ENDED)
    starts = datetime.fromtimestamp(alert.time_ms / 1000, UTC)
    told = datetime.fromtimestamp(now_ms / 1000, UTC)
    return {
        "labels": {
            "alertname": alert.type, "app": app, "type": alert.type, "severity": alert.severity,
            "shard": str(alert.shard), "alert_id": ended or alert.alert_id,
        },
        "annotations": {"message": alert.message, "runbook": alert.runbook},
        "startsAt": min(starts, told).isoformat(),
        "endsAt": (told if ended else told + STANDS_FOR).isoformat(),
    }  # fmt: skip


class Apprise:
    """Slack, mail, PagerDuty and a hundred others, by Apprise's URL."""

    def __init__(self, route: Route) -> None:
        try:
            import apprise  # noqa: PLC0415  an extra
        except ImportError as error:
            raise UsageError(
                f"route {route.name} wants Apprise, which is not installed",
                "Run `pip install 'stream-app[apprise]'`",
            ) from error
        self.apprise = apprise.Apprise()
        if not self.apprise.add(route.url.get_secret_value()):
            raise UsageError(
                f"route {route.name}: Apprise cannot read its url", "See Apprise's documentation"
            )

    async def send(self, told: Notification, now_ms: int) -> None:  # noqa: ARG002
        sent = await asyncio.to_thread(self.apprise.notify, body=told.text(), title=told.title())
        if not sent:
            raise ConnectionError("Apprise could not deliver it; its log tells why")

    async def close(self) -> None:
        """Nothing is open."""


KINDS: dict[str, Any] = {
    "log": lambda _: Log(),
    "webhook": Webhook,
    "alertmanager": Alertmanager,
    "apprise": Apprise,
}


def channel_of(route: Route) -> Channel:
    """The channel that a route names.

    Raises:
        UsageError: it cannot be made; the fix is named.
    """
    made: Channel = KINDS[route.channel](route)
    return made
