"""Silences: which alerts are not sent, and until when; from the settings, and by order, kept in a table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Request

from stream_app.ops.notification import Item
from stream_app.ops.routing import matches
from stream_app.settings.ops import Silence
from stream_app.web.guard import Guard
from stream_app.web.problems import RETRY_AFTER, ProblemError
from stream_app.web.routes import BEARER

MOST = 1_000
NO_TOKENS = "Set STREAM_APP_OPS__TOKENS_ADMIN to a token of 16 characters or more, and start ops again"


class Silences:
    """`table`: id → a silence as JSON, with who set it."""

    def __init__(self, fixed: list[Silence], table: MutableMapping[str, Any]) -> None:
        self.fixed, self.table = fixed, table
        self.ordered: dict[str, Silence] = {}

    def restore(self) -> None:
        """Read them again from the table."""
        self.ordered = {
            name: Silence.model_validate(entry["silence"]) for name, entry in list(self.table.items())
        }

    def is_silenced(self, item: Item, now_ms: int) -> bool:
        """Whether a silence holds back an alert now."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        return any(
            silence.until > now and matches(silence, item)
            for silence in (*self.fixed, *self.ordered.values())
        )

    def add(self, name: str, silence: Silence, actor: str) -> None:
        """Keep one."""
        self.ordered[name] = silence
        self.table[name] = {"silence": silence.model_dump(mode="json"), "actor": actor}

    def remove(self, name: str) -> bool:
        """End one; False if there is none."""
        self.table.pop(name, None)
        return self.ordered.pop(name, None) is not None

    def expire(self, now_ms: int) -> None:
        """Forget those that are over."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        for name in [name for name, silence in self.ordered.items() if silence.until <= now]:
            self.remove(name)

    def as_rows(self) -> list[dict[str, Any]]:
        """All, those of the settings without an id."""
        named: list[tuple[str | None, Silence]] = [(None, one) for one in self.fixed]
        named += self.ordered.items()
        return [{"id": name, **silence.model_dump(mode="json")} for name, silence in named]


def silencing(
    silences: Silences, guard: Guard, ready: Callable[[], bool], written: Callable[[], Awaitable[None]]
) -> APIRouter:
    """Routes: listed for readers, set and ended with a token of `admin`."""
    router = APIRouter(prefix="/v1/silences")

    async def admin(request: Request) -> str:
        if not guard.tokens:
            raise ProblemError(403, "forbidden", "no admin token is set, so silences are refused", NO_TOKENS)
        authorization = request.headers.get("authorization")
        await guard.allow(authorization, "admin")
        if not ready():
            fix = "Ask the process that is ready"
            raise ProblemError(503, "unavailable", "the tables are not here", fix, headers=RETRY_AFTER)
        return guard.authenticate(authorization, "admin")

    @router.get("")
    async def listed(request: Request, _: Annotated[Any, Depends(BEARER)]) -> dict[str, Any]:
        """Every silence."""
        await guard.allow(request.headers.get("authorization"), "read")
        return {"silences": silences.as_rows()}

    @router.post("")
    async def put(asked: Silence, request: Request, _: Annotated[Any, Depends(BEARER)]) -> dict[str, Any]:
        """Silence the alerts that match, until a time."""
        who = await admin(request)
        if len(silences.ordered) >= MOST:
            raise ProblemError(422, "malformed", f"there are {MOST} silences", "End one first")
        name = uuid4().hex[:12]
        silences.add(name, asked, who)
        await written()
        return {"id": name, **asked.model_dump(mode="json")}

    @router.delete("/{name}")
    async def end(name: str, request: Request, _: Annotated[Any, Depends(BEARER)]) -> dict[str, Any]:
        """End a silence."""
        await admin(request)
        if not silences.remove(name):
            raise ProblemError(
                404, "not-found", f"there is no silence {name!r}", "GET /v1/silences lists them"
            )
        await written()
        return {"id": name}

    return router
