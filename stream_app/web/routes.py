"""What each HTTP server of ours has: a token's scope as a dependency, and routes for its operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer

from stream_app.web.guard import Guard

BEARER = HTTPBearer(auto_error=False, description="as the server's settings name them")


def allow(guard: Guard, scope: str) -> Any:
    """A dependency: the request's token has the scope."""

    async def check(request: Request, _: Annotated[Any, Depends(BEARER)]) -> None:
        await guard.allow(request.headers.get("authorization"), scope)

    return Depends(check)


def watched(metrics: Callable[[], tuple[bytes, str]]) -> APIRouter:
    """Liveness and metrics; they check no token and reveal nothing about anybody."""
    router = APIRouter()

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        """This process answers; nothing behind it is asked."""
        return {"status": "ok"}

    @router.get("/metrics", include_in_schema=False)
    async def scrape() -> Response:
        body, media_type = metrics()
        return Response(body, headers={"Content-Type": media_type})

    return router
