"""The routes of the dashboard: the page, boards, what changes in them, and orders.

Reading needs a token where any is set. An order always needs one of `admin`: without tokens there are none.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_app.adapters.clock import SystemClock
from stream_app.ops.assets import pages
from stream_app.ops.dashboard import DashboardModel
from stream_app.ops.feed import MOST, Feed, encode
from stream_app.ops.health import verdict
from stream_app.ops.orders import CommandRequest, Order
from stream_app.web.guard import BodyLimit, Guard, keep_strangers_names_out
from stream_app.web.problems import RETRY_AFTER, ProblemError, handle_errors
from stream_app.web.routes import BEARER, allow, watched

AT_ONCE = 4  # orders
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_TOKENS = "Set STREAM_APP_OPS__TOKENS_ADMIN to a token of 16 characters or more, and start ops again"
ShardQuery = Annotated[int | None, Query(ge=0, description="One shard; default all together.")]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    boards: Mapping[str, DashboardModel],
    guard: Guard,
    order: Order,
    metrics: Callable[[], tuple[bytes, str]],
    lifespan: Lifespan,
    *,
    ready: Callable[[], bool] = lambda: True,
    runbook: str = "/runbook",
) -> FastAPI:
    """The application. `lifespan` runs what feeds the boards; `runbook` is where alerts' runbooks are read.

    `app.state.feed.close()` ends the streams: a server that ends waits for them.
    """
    feed = Feed(boards, SystemClock().now_ms, uuid4().hex[:12])

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            beat = asyncio.ensure_future(feed.beat())
            try:
                yield
            finally:
                feed.close()
                beat.cancel()

    app = FastAPI(title="stream_app: operations", version="1", lifespan=living, docs_url=None, redoc_url=None)
    app.state.feed = feed
    app.include_router(pages())
    app.include_router(reading(boards, guard, feed, ready, runbook))
    app.include_router(ordering(boards, guard, order))
    app.include_router(watched(metrics))
    app.include_router(readiness(ready))
    app.add_middleware(BodyLimit)
    keep_strangers_names_out(app, guard)
    app.add_middleware(SecurityHeaders)
    handle_errors(app)
    return app


class SecurityHeaders:
    """ASGI: the headers of every answer make the browser trust this server alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def recovered(ready: Callable[[], bool]) -> Callable[[], Awaitable[None]]:
    """A dependency: the boards hold what they should."""

    async def check() -> None:
        if not ready():
            text, fix = "this process is reading its tables, or is on standby", "Wait"
            raise ProblemError(503, "unavailable", text, fix, headers=RETRY_AFTER)

    return check


def board_of(boards: Mapping[str, DashboardModel], app: str, shard: int | None) -> DashboardModel:
    """The board of an application that has this shard.

    Raises:
        HTTPException: there is none.
    """
    if app not in boards:
        raise HTTPException(404, f"no application {app!r} is watched here")
    if shard is not None and shard >= boards[app].shards:
        raise HTTPException(404, f"{app} has no shard {shard}")
    return boards[app]


def reading(
    boards: Mapping[str, DashboardModel], guard: Guard, feed: Feed, ready: Callable[[], bool], runbook: str
) -> APIRouter:
    """Boards and their changes; a process that stands by or recovers has none yet."""
    router = APIRouter(prefix="/v1", dependencies=[allow(guard, "read"), Depends(recovered(ready))])

    @router.get("/boards")
    async def listed() -> dict[str, Any]:
        """Which applications are watched, and how each is."""
        now_ms = feed.now_ms()
        apps = [
            {"app": name, "task": board.task, "shards": board.shards, "health": brief(board, now_ms)}
            for name, board in boards.items()
        ]
        orders = "allowed" if guard.tokens else NO_TOKENS
        return {"apps": apps, "orders": orders, "runbook": runbook}

    @router.get("/board/{app}")
    async def board(app: str, request: Request, shard: ShardQuery = None) -> Response:
        """All that the page shows."""
        board_of(boards, app, shard)
        body = feed.snapshot(app, shard)
        headers = {"Cache-Control": "no-store"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, 5), "gzip"
        return Response(body, headers=headers, media_type="application/json")

    @router.get("/board/{app}/events")
    async def events(
        app: str, request: Request, shard: ShardQuery = None, since: Annotated[str, Query(max_length=64)] = ""
    ) -> StreamingResponse:
        """What changes, as server-sent events; `since` or Last-Event-ID goes on from an event's id."""
        board_of(boards, app, shard)
        if feed.listeners >= MOST:
            raise ProblemError(
                503,
                "unavailable",
                f"{MOST} listen already",
                "Close a page that is not needed",
                headers=RETRY_AFTER,
            )
        identity = since or request.headers.get("last-event-id", "")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(feed.listen(app, shard, identity), 200, headers, "text/event-stream")

    return router


def brief(board: DashboardModel, now_ms: int) -> dict[str, Any]:
    """State and sentence."""
    found = verdict(board, now_ms)
    return {name: found[name] for name in ("state", "sentence")}


def ordering(boards: Mapping[str, DashboardModel], guard: Guard, order: Order) -> APIRouter:
    """Orders to shards."""
    router = APIRouter(prefix="/v1")
    turns = asyncio.Semaphore(AT_ONCE)

    @router.post("/commands")
    async def command(
        asked: CommandRequest, request: Request, _: Annotated[Any, Depends(BEARER)]
    ) -> Response:
        """Write an order to the log and wait for the answer of each shard."""
        if not guard.tokens:
            raise ProblemError(403, "forbidden", "no admin token is set, so commands are refused", NO_TOKENS)
        authorization = request.headers.get("authorization")
        await guard.allow(authorization, "admin")
        who = guard.authenticate(authorization, "admin")
        board_of(boards, asked.app, asked.shard)
        names_model = asked.command in ("promote", "drop")
        if names_model == (asked.slot is None and asked.version is None):
            fix = "promote and drop take a slot or a version, the others take neither"
            raise ProblemError(422, "malformed", f"{asked.command} does not go so", fix)
        actor = f"{asked.actor or 'somebody'} (dashboard, {who})"
        async with turns:
            answers = await asyncio.to_thread(order, asked.model_copy(update={"actor": actor}))
        body = {"shards": [msgspec.structs.asdict(answer) for answer in answers]}
        return Response(encode(body), media_type="application/json")

    return router


def readiness(ready: Callable[[], bool]) -> APIRouter:
    """Whether the boards are whole; no token."""
    router = APIRouter()

    @router.get("/readyz", dependencies=[Depends(recovered(ready))])
    async def readyz() -> dict[str, str]:
        """What the boards are made of is recovered."""
        return {"status": "ready"}

    return router
