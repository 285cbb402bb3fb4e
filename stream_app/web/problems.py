"""Errors as RFC 9457 problem documents, each with what to do next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stream_app.errors import Refused, StreamAppError, UsageError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}
TITLES = {
    "malformed": "The request is not what this route takes",
    "bad-row": "The row cannot be predicted",
    "too-large": "The request is too large",
    "unauthorized": "A token is missing or unknown",
    "forbidden": "The token does not allow this",
    "too-many-requests": "The token's rate is used up",
    "stale": "The answer would be older than asked",
    "no-model": "No model is here yet",
    "unavailable": "A server behind this one does not answer",
    "not-found": "There is no such route",
    "not-allowed": "The route does not take this method",
    "internal": "This server failed",
}
FIXES = {  # where nothing better is known
    "malformed": "Correct the request",
    "bad-row": "Correct the row",
    "too-large": "Send fewer rows at once",
    "not-found": "Check the path: /docs lists the routes of `serve`, docs/operations.md those of `ops`",
    "not-allowed": "Use the route's own method: /docs and docs/operations.md list them",
    "internal": "Read this server's log",
}
OnProblem = Callable[[int], None]  # hears the status of each problem
log = structlog.get_logger()


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        fix: str = "",
        *,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.fix = status, kind, detail, fix
        self.headers, self.more = headers, more

    @property
    def document(self) -> dict[str, Any]:
        """Its members."""
        named = {"type": f"urn:stream-app:{self.kind}", "title": TITLES[self.kind], "status": self.status}
        return {**named, "detail": self.detail, "fix": self.fix or FIXES.get(self.kind, ""), **self.more}


def response(error: ProblemError) -> Response:
    """What the client gets."""
    return Response(orjson.dumps(error.document), error.status, error.headers, MEDIA_TYPE)


def nobody(_status: int) -> None:
    """Nobody counts."""


def handle_errors(app: FastAPI, on_problem: OnProblem = nobody) -> None:
    """Each kind of error as its problem."""

    def answer(error: ProblemError) -> Response:
        on_problem(error.status)
        return response(error)

    @app.exception_handler(ProblemError)
    async def problem(_: Request, error: ProblemError) -> Response:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        faults = [{"at": "/".join(map(str, e["loc"])), "why": e["msg"]} for e in error.errors()]
        detail = "; ".join(f"{fault['at']}: {fault['why']}" for fault in faults)
        return answer(ProblemError(422, "malformed", detail, "See /docs", errors=faults))

    @app.exception_handler(StreamAppError)
    async def ours(_: Request, error: StreamAppError) -> Response:
        if isinstance(error, UsageError):
            return answer(ProblemError(422, "malformed", error.message, error.remedy))
        if isinstance(error, Refused):
            problem = ProblemError(503, "unavailable", error.message, error.remedy, headers=RETRY_AFTER)
            return answer(problem)
        return answer(ProblemError(500, "internal", error.message, error.remedy))

    @app.exception_handler(HTTPException)
    async def by_status(_: Request, error: HTTPException) -> Response:
        kinds = {404: "not-found", 405: "not-allowed", 413: "too-large"}
        headers = dict(error.headers or {})
        kind = kinds.get(error.status_code, "malformed")
        return answer(ProblemError(error.status_code, kind, str(error.detail), headers=headers))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return answer(ProblemError(500, "internal", "see this server's log"))
