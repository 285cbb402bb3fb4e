"""What channels say, and that a missing extra is told with its remedy."""

from __future__ import annotations

import asyncio
import ssl
import sys

import httpx
import pytest

from stream_app.errors import UsageError
from stream_app.ops.channels import (
    LONGEST_KEY,
    Apprise,
    Posts,
    accepted,
    alertmanager_alert,
    channel_of,
    key_of,
    verdict,
)
from stream_app.ops.notification import Item, notification
from stream_app.settings.ops import Route
from tests.integration.operating import webhook
from topics.records import Alert

NOW_MS = 1_700_000_000_000


def alert(evidence: dict[str, object] | None = None, name: str = "a/0/learner-silent/7") -> Alert:
    """A learner that is silent, or what ends that."""
    return Alert(
        name,
        "learner-silent",
        "warning",
        0,
        NOW_MS - 5_000,
        "no statistics",
        evidence or {},
        "docs/runbooks.md#learner-silent",
    )


def test_alertmanager_gets_the_alert_and_its_end_under_the_same_labels() -> None:
    """The end of a silence resolves the alert of its beginning, which Alertmanager knows by its labels."""
    begun = alertmanager_alert(Item("a", alert()), NOW_MS)
    ended = alertmanager_alert(Item("a", alert({"ended": alert().alert_id}, "other")), NOW_MS)
    assert (
        begun["labels"]
        == ended["labels"]
        == {
            "alertname": "learner-silent",
            "app": "a",
            "type": "learner-silent",
            "severity": "warning",
            "shard": "0",
            "alert_id": "a/0/learner-silent/7",
        }
    )
    assert begun["annotations"] == {"message": "no statistics", "runbook": "docs/runbooks.md#learner-silent"}
    assert (begun["startsAt"], begun["endsAt"]) == ("2023-11-14T22:13:15+00:00", "2023-11-14T23:13:20+00:00")
    assert ended["endsAt"] == "2023-11-14T22:13:20+00:00"


def test_an_alert_from_the_future_starts_now() -> None:
    """Log time may be ahead; Alertmanager refuses an end before the start."""
    ahead = Alert("x", "drift", "info", 0, NOW_MS + 7_200_000, "", {"ended": "y"})
    told = alertmanager_alert(Item("a", ahead), NOW_MS)
    assert told["startsAt"] == told["endsAt"]


def test_apprise_is_an_extra_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the remedy is a command; a wrong address is refused before anything runs."""
    route = Route(channel="apprise", url="json://127.0.0.1:9/", name="people")
    assert isinstance(channel_of(route), Apprise)
    with pytest.raises(UsageError, match="cannot read its url"):
        channel_of(Route(channel="apprise", url="nonsense"))
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(UsageError, match=r"pip install 'stream-app\[apprise\]'"):
        channel_of(route)


def test_apprise_that_cannot_deliver_raises() -> None:
    """Nothing listens there, so the alert is not told."""
    channel = channel_of(Route(channel="apprise", url="json://127.0.0.1:9/"))
    with pytest.raises(ConnectionError):
        asyncio.run(channel.send(notification("people", [Item("a", alert())], summary=False), NOW_MS))


def test_a_post_is_tried_as_often_as_the_route_says() -> None:
    """Each answer of 500 is one attempt; then it raises."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(500 if len(asked) < 3 else 204)

    async def post(attempts: int) -> None:
        posts = Posts(Route(channel="webhook", url="http://127.0.0.1:9/", attempts=attempts))
        posts.http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        await posts.post("http://127.0.0.1:9/", b"{}", {})
        await posts.close()

    with pytest.raises(httpx.HTTPStatusError):
        asyncio.run(post(2))
    assert len(asked) == 2
    asyncio.run(post(2))
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "never", "splits"),
    [
        (400, True, True), (401, True, False), (404, True, False), (413, True, True), (422, True, True),
        (408, False, False), (425, False, False), (429, False, False), (500, False, False),
        (503, False, False), (302, False, False),
    ],
)  # fmt: skip
def test_answers_say_whether_another_try_may_end_otherwise(status: int, never: bool, splits: bool) -> None:
    """4xx is a refusal that will be repeated, but for those that ask for another try."""
    answer = httpx.Response(status, request=httpx.Request("POST", "http://127.0.0.1:9/"))
    with pytest.raises(Exception, match=str(status)) as raised:
        accepted(answer)
    found = verdict(raised.value)
    assert (found is not None, found is not None and found.splits) == (never, splits)


@pytest.mark.parametrize(
    ("error", "never"),
    [
        (UnicodeEncodeError("ascii", "é", 0, 1, ""), True), (TypeError(), True), (OverflowError(), True),
        (httpx.InvalidURL(""), True), (httpx.UnsupportedProtocol(""), True),
        (httpx.LocalProtocolError(""), True), (httpx.ConnectError(""), False),
        (httpx.ReadTimeout(""), False), (httpx.RemoteProtocolError(""), False), (ConnectionError(), False),
        (TimeoutError(), False), (ssl.SSLCertVerificationError(), False), (RuntimeError(), False),
    ],
)  # fmt: skip
def test_a_local_fault_is_permanent_and_a_connection_is_not(error: Exception, never: bool) -> None:
    """What cannot be encoded is the same at the next try; what is not reached may be reached then."""
    assert (verdict(error) is not None) == never


def test_a_refusal_is_not_repeated() -> None:
    """One request, whatever `attempts` says."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(400)

    async def post() -> None:
        posts = Posts(Route(channel="webhook", url="http://127.0.0.1:9/", attempts=5))
        posts.http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        await posts.post("http://127.0.0.1:9/", b"{}", {})

    with pytest.raises(Exception, match="HTTP 400"):
        asyncio.run(post())
    assert len(asked) == 1


def test_the_key_of_any_name_is_a_header_and_two_names_have_two_keys() -> None:
    """Accents, line ends, blanks, signs of percent, lone surrogates, and names of any length."""
    names = ["équipe", "%C3%A9quipe", "a b", "a%20b", "a\r\nb", "\ud800", "é" * 400, "é" * 401, "a/0/x/1"]
    keys = [key_of(name) for name in names]
    assert len(set(keys)) == len(names)
    for key in keys:
        assert key.isascii()
        assert key.isprintable()
        assert len(key) <= LONGEST_KEY
        httpx.Headers({"Idempotency-Key": key})
    assert keys[-1] == "a/0/x/1"


def test_a_webhook_takes_an_alert_of_any_name() -> None:
    """Its key is what `key_of` makes of the id; the id itself is in the body."""
    with webhook() as hook:
        channel = channel_of(Route(channel="webhook", url=hook.url))
        item = Item("a", alert(name="a/0/delivery-failing/équipe"))
        asyncio.run(channel.send(notification("hook", [item], summary=False), NOW_MS))
    assert hook.headers[0]["Idempotency-Key"] == "a/0/delivery-failing/%C3%A9quipe"
    assert hook.ids() == ["a/0/delivery-failing/équipe"]


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://127.0.0.1/", "http:///?token=1", "http://[::1", "http://a:b/"]
)
def test_an_address_that_cannot_be_asked_is_refused_at_the_start(url: str) -> None:
    """With the route's name, and without the address, which may hold a token."""
    with pytest.raises(UsageError, match="route pager") as raised:
        channel_of(Route(name="pager", channel="webhook", url=url))
    assert url not in str(raised.value)


def test_a_time_that_no_calendar_has_is_sent() -> None:
    """An alert's own time may be any number; Alertmanager gets one that it can read."""
    for time_ms in (10**18, -(10**18)):
        odd = Alert("x", "drift", "info", 0, time_ms, "", {})
        assert alertmanager_alert(Item("a", odd), NOW_MS)["startsAt"] <= "2023-11-14T22:13:20+00:00"


def test_names_in_an_alert_mention_nobody_in_a_chat() -> None:
    """What Apprise is given to send holds no mention, tag or labelled link."""
    with webhook() as hook:
        channel = channel_of(Route(channel="apprise", url=hook.url.replace("http:", "json:")))
        message = "<!channel> @everyone <@U123> [read this](http://127.0.0.1:9) <b>now</b>"
        evil = Alert("a/0/x", "drift", "critical", 0, NOW_MS, message, {})
        asyncio.run(channel.send(notification("people", [Item("a", evil)], summary=False), NOW_MS))
    (body,) = hook.bodies
    for text in body["title"], body["message"]:
        assert "channel" in text
        assert not any(sign in text for sign in ("<", ">", "@everyone", "@U123", "]("))
