"""The dashboard's routes: who may read and order, what a stream tells, what a slow listener costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI

from stream_app.ops.assets import runbook
from stream_app.ops.dashboard import DashboardModel
from stream_app.ops.feed import Feed
from stream_app.ops.http import create_app
from stream_app.ops.orders import CommandRequest, ShardOutcome
from stream_app.web.guard import Guard
from topics.records import Alert

ADMIN, READ = "an admin token of this test", "a reading token of this test"
TOKENS = {"read": [READ], "admin": [ADMIN]}
ORDER = {"app": "shop", "command": "pause", "reason": "because"}


class Server:
    """The application with two boards, and the orders that it was given."""

    def __init__(self, tokens: dict[str, list[str]] | None = None) -> None:
        self.boards = {
            "shop": DashboardModel("shop", 2, "binary"),
            "other": DashboardModel("other", 1, "regression"),
        }
        self.orders: list[CommandRequest] = []
        self.ready = True
        guard = Guard(tokens or {}, None)
        self.app = create_app(
            self.boards,
            guard,
            self.order,
            lambda: (b"up 1\n", "text/plain"),
            nothing,
            ready=lambda: self.ready,
        )
        self.feed: Feed = self.app.state.feed

    def order(self, asked: CommandRequest) -> list[ShardOutcome]:
        self.orders.append(asked)
        return [ShardOutcome(0, "done", "ok"), ShardOutcome(1, "refused", "no")]

    async def ask(
        self, method: str, path: str, token: str = "", host: str = "127.0.0.1", **how: Any
    ) -> httpx.Response:
        """One request."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, headers=headers, **how)

    def request(self, method: str, path: str, token: str = "", **how: Any) -> httpx.Response:
        """One request, outside of a loop."""
        return asyncio.run(self.ask(method, path, token, **how))


@asynccontextmanager
async def nothing(_: FastAPI) -> AsyncIterator[None]:
    """No process behind the boards."""
    yield


def alert(number: int) -> Alert:
    """One of several."""
    return Alert(f"a{number}", "drift", "info", 0, 1_000 + number, "said", {})


def told(event: bytes) -> tuple[str, str, dict[str, Any]]:
    """An event's name, id and data."""
    fields = dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))
    return fields["event"], fields["id"], orjson.loads(fields["data"])


@pytest.mark.parametrize("path", ["/v1/boards", "/v1/board/shop", "/v1/board/shop/events"])
def test_reading_needs_a_token_where_any_is_set(path: str) -> None:
    """Without one, with a wrong one, or with one of another spelling, boards stay shut."""
    server = Server(TOKENS)
    for token in ("", "wrong", READ[:-1], READ.upper()):
        answer = server.request("GET", path, token)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:stream-app:unauthorized")


def test_the_page_and_the_watchers_need_none() -> None:
    """The page's files hold nothing of anybody's, and whoever keeps it running has no token."""
    server = Server(TOKENS)
    for path in ("/", "/runbook", "/assets/app.js", "/assets/uplot.js", "/livez", "/readyz", "/metrics"):
        answer = server.request("GET", path)
        assert answer.status_code == 200, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_every_alert_of_the_runbook_has_its_anchor() -> None:
    """A link of an alert leads to its section; the text is text, whatever it holds."""
    text = Server(TOKENS).request("GET", "/runbook").text
    for kind in ("drift", "learner-silent", "delivery-failing", "shard-halted"):
        assert f'<h2 id="{kind}">' in text
    assert "<script" not in text
    assert b"&lt;b&gt;" in runbook("<b>")


@pytest.mark.parametrize(
    ("tokens", "given", "status", "fix"),
    [
        ({}, "", 403, "STREAM_APP_OPS__TOKENS_ADMIN"),
        ({}, ADMIN, 403, "STREAM_APP_OPS__TOKENS_ADMIN"),
        (TOKENS, "", 401, "Send Authorization"),
        (TOKENS, "wrong", 401, "Send Authorization"),
        (TOKENS, READ, 403, "Use a token for admin"),
        (TOKENS, ADMIN, 200, ""),
    ],
)
def test_orders_need_an_admin_token_always(
    tokens: dict[str, list[str]], given: str, status: int, fix: str
) -> None:
    """On loopback too: no token set means no orders, and every refusal names the way out."""
    server = Server(tokens)
    answer = server.request("POST", "/v1/commands", given, json=ORDER)
    assert answer.status_code == status
    assert fix in answer.json().get("fix", "")
    assert len(server.orders) == (status == 200)


def test_an_order_is_written_under_a_name_and_each_shard_answers() -> None:
    """The actor names the person and the token's place, never the token; outcomes come by shard."""
    server = Server(TOKENS)
    answer = server.request("POST", "/v1/commands", ADMIN, json={**ORDER, "actor": "ann"})
    assert server.orders[0].actor == "ann (dashboard, token 1)"
    assert answer.json()["shards"] == [
        {"shard": 0, "outcome": "done", "why": "ok"},
        {"shard": 1, "outcome": "refused", "why": "no"},
    ]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"app": "nobody"}, 404),
        ({"shard": 2}, 404),
        ({"command": "forget"}, 422),
        ({"reason": ""}, 422),
        ({"reason": 7}, 422),
        ({"command": "promote"}, 422),
        ({"version": 3}, 422),
        ({"surprise": 1}, 422),
        ({"reason": "x" * 70_000}, 413),
    ],
)
def test_orders_that_cannot_be_are_refused_before_the_log(change: dict[str, Any], status: int) -> None:
    """What names no application, shard or model, or says no reason, is not written."""
    server = Server(TOKENS)
    assert server.request("POST", "/v1/commands", ADMIN, json=ORDER | change).status_code == status
    assert server.orders == []


def test_a_strangers_name_for_loopback_reads_nothing() -> None:
    """Without tokens the host must be loopback by name: a page of others that points its own name here reads
    nothing.
    """
    answer = Server().request("GET", "/v1/boards", host="evil.example")
    assert answer.status_code == 400
    assert Server().request("GET", "/v1/boards").status_code == 200
    assert Server(TOKENS).request("GET", "/v1/boards", READ, host="ops.example").status_code == 200


def test_boards_wait_until_the_tables_are_here() -> None:
    """While it recovers or stands by, a process shows no empty boards as if nothing had happened."""
    server = Server()
    server.ready = False
    for path in ("/v1/boards", "/v1/board/shop", "/v1/board/shop/events", "/readyz"):
        assert server.request("GET", path).status_code == 503


@pytest.mark.parametrize(
    "path", ["/v1/board/nobody", "/v1/board/shop?shard=2", "/assets/..%2fboard.py", "/assets/x"]
)
def test_what_is_not_there_is_a_problem_document(path: str) -> None:
    """404, with a type that a program can read."""
    answer = Server().request("GET", path)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:stream-app:not-found")


def test_assets_are_asked_for_anew_and_sent_once() -> None:
    """A browser that has a file is told so; one that takes gzip gets it packed."""
    server = Server()
    first = server.request("GET", "/assets/app.js")
    assert first.headers["content-encoding"] == "gzip"
    transport_headers = {"If-None-Match": first.headers["etag"]}

    async def again() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=server.app), base_url="http://127.0.0.1"
        ) as client:
            return await client.get("/assets/app.js", headers=transport_headers)

    assert asyncio.run(again()).status_code == 304


def test_a_stream_begins_with_all_and_goes_on_with_what_changed() -> None:
    """A new listener gets a snapshot, then one change a tick; two listeners get the same bytes."""

    async def run() -> None:
        server = Server()
        server.boards["shop"].alert(alert(1))
        one, two = (server.feed.listen("shop", None, "") for _ in range(2))
        assert told(await anext(one))[0] == told(await anext(two))[0] == "snapshot"
        waiting = [asyncio.ensure_future(anext(each)) for each in (one, two)]
        await asyncio.sleep(0)
        server.boards["shop"].alert(alert(2))
        server.feed.tick()
        first, second = await asyncio.gather(*waiting)
        assert first is second
        assert [found["id"] for found in told(first)[2]["alerts"]] == ["a2"]
        await asyncio.gather(one.aclose(), two.aclose())
        assert server.feed.listeners == 0
        assert server.feed.channels == {}

    asyncio.run(run())


def test_a_slow_listener_is_told_later_what_it_missed_and_nothing_is_queued() -> None:
    """Ten ticks that nobody took become one change with all that happened meanwhile."""

    async def run() -> None:
        server = Server()
        slow = server.feed.listen("shop", None, "")
        told(await anext(slow))
        for number in range(10):
            server.boards["shop"].alert(alert(number))
            server.feed.tick()
        name, identity, data = told(await anext(slow))
        assert (name, len(data["alerts"])) == ("changes", 10)
        assert identity == server.feed.identity(server.boards["shop"].version)
        await slow.aclose()

    asyncio.run(run())


def test_a_listener_that_comes_back_goes_on_where_it_was() -> None:
    """The id of an event resumes; an id of another process, or none that can be, begins anew."""

    async def first_of(server: Server, identity: str) -> tuple[str, str, dict[str, Any]]:
        stream = server.feed.listen("shop", None, identity)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        server.feed.tick()
        found = told(await waiting)
        await stream.aclose()
        return found

    async def run() -> None:
        server = Server()
        server.boards["shop"].alert(alert(1))
        identity = (await first_of(server, ""))[1]
        server.boards["shop"].alert(alert(2))
        name, _, data = await first_of(server, identity)
        assert (name, [found["id"] for found in data["alerts"]]) == ("changes", ["a2"])
        for strange in ("other-1", "nonsense", f"{server.feed.run}-999", f"{server.feed.run}-²"):
            assert (await first_of(server, strange))[0] == "snapshot"

    asyncio.run(run())


def test_streams_end_when_the_process_does() -> None:
    """Whoever listens is let go, so that a server can end at once."""

    async def run() -> None:
        server = Server()
        stream = server.feed.listen("shop", None, "")
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        server.feed.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 5)

    asyncio.run(run())
