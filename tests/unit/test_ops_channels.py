"""What channels say, and that a missing extra is told with its remedy."""

from __future__ import annotations

import asyncio
import sys

import httpx
import pytest

from stream_app.errors import UsageError
from stream_app.ops.channels import Apprise, Posts, alertmanager_alert, channel_of
from stream_app.ops.notification import Item, notification
from stream_app.settings.ops import Route
from topics.records import Alert

NOW_MS = 1_700_000_000_000


def alert(evidence: dict[str, object] | None = None, name: str = "a/0/learner-silent/7") -> Alert:
    """A learner that is silent, or what ends that."""
    return Alert(
        name, "learner-silent", "warning", 0, NOW_MS - 5_000, "no statistics", evidence or {},
        "docs/runbooks.md#learner-silent",
    )  # fmt: skip


def test_alertmanager_gets_the_alert_and_its_end_under_the_same_labels() -> None:
    """The end of a silence resolves the alert of its beginning, which Alertmanager knows by its labels."""
    begun = alertmanager_alert(Item("a", alert()), NOW_MS)
    ended = alertmanager_alert(Item("a", alert({"ended": alert().alert_id}, "other")), NOW_MS)
    assert begun["labels"] == ended["labels"] == {
        "alertname": "learner-silent", "app": "a", "type": "learner-silent", "severity": "warning",
        "shard": "0", "alert_id": "a/0/learner-silent/7",
    }  # fmt: skip
    assert begun["annotations"] == {
        "message": "no statistics", "runbook": "docs/runbooks.md#learner-silent"
    }  # fmt: skip
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
