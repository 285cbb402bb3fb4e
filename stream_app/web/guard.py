"""Who may ask, how often and how much: before a route reads anything of the request."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from fastapi import FastAPI
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_app.web.problems import RETRY_AFTER, OnProblem, ProblemError, nobody, response

LARGEST_BODY = 65_536
SCOPES = ("read", "feedback", "admin")  # each allows what stands before it as well
ANYONE = "anyone"
LOOPBACK = ["localhost", "127.0.0.1"]


class Guard:
    """Bearer tokens by scope; none at all leaves every route open, which is for loopback only.

    Every known token is compared, in constant time, so that the time taken reveals nothing.
    """

    def __init__(self, tokens: Mapping[str, Sequence[str]], per_second: int | None) -> None:
        self.tokens = [(token.encode(), scope) for scope in SCOPES for token in tokens.get(scope, ())]
        self.limit = RateLimitItemPerSecond(per_second) if per_second else None
        self.limiter = FixedWindowRateLimiter(MemoryStorage())

    async def allow(self, authorization: str | None, scope: str) -> None:
        """Let a request with this header do what `scope` names.

        Raises:
            ProblemError: 401, 403 or 429.
        """
        who = self.authenticate(authorization, scope)
        if self.limit is not None and not await self.limiter.hit(self.limit, who):
            text = f"more than {self.limit.amount} requests in a second"
            raise ProblemError(429, "too-many-requests", text, "Wait a second", headers=RETRY_AFTER)

    def authenticate(self, authorization: str | None, scope: str) -> str:
        """The token's place in the settings, which may stand in a log.

        Raises:
            ProblemError: 401 or 403.
        """
        if not self.tokens:
            return ANYONE
        scheme, _, given = (authorization or "").partition(" ")
        found: tuple[int, str] | None = None
        for place, (token, its) in enumerate(self.tokens):
            if hmac.compare_digest(token, given.encode()):
                found = place, its
        if found is None or scheme.lower() != "bearer":
            raise ProblemError(
                401,
                "unauthorized",
                "no known bearer token was sent",
                "Send Authorization: Bearer <token>",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if SCOPES.index(found[1]) < SCOPES.index(scope):
            raise ProblemError(403, "forbidden", f"the token is for {found[1]}", f"Use a token for {scope}")
        return f"token {found[0]}"


def keep_strangers_names_out(app: FastAPI, guard: Guard) -> None:
    """Without tokens only loopback's own names are served: behind another name that leads here stands a
    stranger's page, which a person's browser has open and which wants to read and write (DNS rebinding).
    """
    if not guard.tokens:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)


class BodyLimit:
    """ASGI: a body beyond the bound is refused by its announced length, else while it comes."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST_BODY, on_problem: OnProblem = nobody) -> None:
        self.app, self.largest, self.on_problem = app, largest, on_problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        text = f"the body has more than {self.largest} bytes"
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self.largest:
            problem = ProblemError(413, "too-large", text, "Send fewer rows at a time")
            self.on_problem(problem.status)
            await response(problem)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.largest:
                raise HTTPException(413, text)  # FastAPI makes any other error of reading a 400
            return message

        await self.app(scope, counted, send)
