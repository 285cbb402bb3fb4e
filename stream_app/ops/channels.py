"""Where notifications go. `send` returns once the other side has said that it has them, else it raises.

Exception
├── Undeliverable   never, as it is: another try ends the same; it leaves the route's queue
│     also LOCAL    a fault in making the message or request, which `verdict` turns into it
└── any other       not now: no connection, a timeout, 5xx, 408, 425, 429; it is tried again
"""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import orjson
import stamina
import structlog

from stream_app.errors import UsageError
from stream_app.ops.notification import ENDED, Item, Notification
from stream_app.settings.ops import Route

SIGNATURE, TIMESTAMP, KEY = "X-Stream-App-Signature", "X-Stream-App-Timestamp", "Idempotency-Key"
STANDS_FOR = timedelta(hours=1)  # an alert is an event: Alertmanager shows it for so long after it was sent
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 2.0
PASSING = frozenset({408, 425, 429})  # the answers 4xx that ask for another try
ABOUT_THE_CONTENT = frozenset({400, 413, 422})  # fewer alerts at once may be accepted
SAFE = "!#$&'()*+,-./:;=?@[]^_`{|}~"  # in a header's value; % is not, or two ids could become one
LONGEST_KEY = 1_024  # servers bound all headers together, most at 8 KiB
LOCAL = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, httpx.InvalidURL,
    httpx.UnsupportedProtocol, httpx.LocalProtocolError,
)  # fmt: skip
log = structlog.get_logger()


class Undeliverable(Exception):
    """The channel can never deliver this notification as it is. `splits`: parts of it may be accepted."""

    def __init__(self, reason: str, *, splits: bool) -> None:
        super().__init__(reason)
        self.splits = splits


def verdict(error: Exception) -> Undeliverable | None:
    """The error as a permanent one, None where another try may end otherwise."""
    if isinstance(error, Undeliverable):
        return error
    # A certificate that cannot be verified is an OSError and a ValueError; the other side can mend it.
    local = isinstance(error, LOCAL) and not isinstance(error, OSError)
    return Undeliverable(type(error).__name__, splits=True) if local else None


class Channel(Protocol):
    """One way to notify people."""

    async def send(self, notification: Notification, now_ms: int) -> None:
        """Deliver it; a second time with the same notification is harmless.

        Raises:
            Exception: it was not delivered; `verdict` says whether it can be later.
        """

    async def close(self) -> None: ...


class Log:
    """A line for each notification, on stderr like every other."""

    async def send(self, notification: Notification, now_ms: int) -> None:  # noqa: ARG002
        body = notification.body()
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
        if not usable(self.url):
            raise UsageError(
                f"route {route.name}: its url is not an address of a web server",
                "Set url to http://… or https://… with a host",
            )

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Send a body.

        Raises:
            Undeliverable: the answer says that it never will be accepted.
            httpx.HTTPError: the last attempt failed too.
        """
        request = self.http.build_request(
            "POST", url, content=body, headers={"Content-Type": "application/json", **headers}
        )
        async for attempt in stamina.retry_context(
            passing, self.attempts, None, wait_initial=FIRST_WAIT_S, wait_max=LONGEST_WAIT_S
        ):
            with attempt:
                accepted(await self.http.send(request))

    async def close(self) -> None:
        await self.http.aclose()


def usable(url: str) -> bool:
    """Whether requests can be made for an address."""
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return read.scheme in ("http", "https") and bool(read.host)


def passing(error: Exception) -> bool:
    """Whether another attempt may end otherwise."""
    return verdict(error) is None


def accepted(response: httpx.Response) -> None:
    """Return where the answer is a success.

    Raises:
        Undeliverable: it is a refusal that will be repeated.
        httpx.HTTPStatusError: it may be another one later.
    """
    status = response.status_code
    if 400 <= status < 500 and status not in PASSING:
        raise Undeliverable(f"HTTP {status}", splits=status in ABOUT_THE_CONTENT)
    response.raise_for_status()


def key_of(name: str) -> str:
    """A notification's id as a header takes it: what is not printable ASCII is percent-encoded.

    >>> key_of("shop/0/delivery-failing/équipe/7")
    'shop/0/delivery-failing/%C3%A9quipe/7'
    """
    key = quote(name, safe=SAFE, errors="surrogatepass")
    return key if len(key) <= LONGEST_KEY else sha256(key.encode()).hexdigest()


class Webhook(Posts):
    """The notification as JSON. A secret signs it: HMAC-SHA256 over `<timestamp>.<body>`, as hex digits."""

    def __init__(self, route: Route) -> None:
        super().__init__(route)
        self.secret = route.secret.get_secret_value().encode() if route.secret else None

    async def send(self, notification: Notification, now_ms: int) -> None:
        body = orjson.dumps(notification.body())
        headers = {KEY: key_of(notification.id)}
        if self.secret is not None:
            stamp = str(now_ms // 1000)
            signed = hmac.new(self.secret, stamp.encode() + b"." + body, sha256).hexdigest()
            headers |= {TIMESTAMP: stamp, SIGNATURE: f"sha256={signed}"}
        await self.post(self.url, body, headers)


class Alertmanager(Posts):
    """Prometheus Alertmanager's API v2: every alert by itself, since it groups and repeats on its own."""

    async def send(self, notification: Notification, now_ms: int) -> None:
        body = orjson.dumps([alertmanager_alert(item, now_ms) for item in notification.items])
        await self.post(self.url.rstrip("/") + "/api/v2/alerts", body, {})


def alertmanager_alert(item: Item, now_ms: int) -> dict[str, Any]:
    """An alert in Alertmanager's words; one that ends another has its labels, and an end."""
    app, alert = item
    ended = alert.evidence.get(ENDED)
    # Log time may be ahead, and Alertmanager refuses an end before the start.
    starts = datetime.fromtimestamp(min(max(alert.time_ms, 0), now_ms) / 1000, UTC)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return {
        "labels": {
            "alertname": alert.type,
            "app": app,
            "type": alert.type,
            "severity": alert.severity,
            "shard": str(alert.shard),
            "alert_id": ended or alert.alert_id,
        },
        "annotations": {"message": alert.message, "runbook": alert.runbook},
        "startsAt": starts.isoformat(),
        "endsAt": (now if ended else now + STANDS_FOR).isoformat(),
    }


class Apprise:
    """Slack, mail, PagerDuty and a hundred others, by Apprise's URL."""

    def __init__(self, route: Route) -> None:
        try:
            import apprise  # noqa: PLC0415  an extra
        except ImportError as error:
            raise UsageError(
                f"route {route.name} needs Apprise, which is not installed",
                "Run `pip install 'stream-app[apprise]'`",
            ) from error
        self.apprise = apprise.Apprise()
        if not self.apprise.add(route.url.get_secret_value()):
            raise UsageError(
                f"route {route.name}: Apprise cannot read its url", "See Apprise's documentation"
            )

    async def send(self, notification: Notification, now_ms: int) -> None:  # noqa: ARG002
        title, text = plain(notification.title()), plain(notification.text())
        # As text: Apprise itself escapes what a channel reads as HTML, such as mail.
        sent = await asyncio.to_thread(self.apprise.notify, text, title, body_format="text")
        if not sent:
            raise ConnectionError("Apprise could not deliver it; see its log for the reason")

    async def close(self) -> None:
        """Nothing is open."""


def plain(text: str) -> str:
    """A text in which no chat finds a mention, a tag or a labelled link: names in alerts are users' words.

    >>> plain("<!channel> [read](http://x)") == "‹!channel› [read]\u200b(http://x)"
    True
    >>> plain("@everyone") == "@\u200beveryone"
    True
    """
    text = text.replace("<", "‹").replace(">", "›")
    return text.replace("@", "@\u200b").replace("](", "]\u200b(")


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
