"""Errors as RFC 9457 problem documents, each with what to do next."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Response

MEDIA_TYPE = "application/problem+json"
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


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self, status: int, kind: str, detail: str, fix: str = "", *, headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status, self.kind, self.detail, self.fix = status, kind, detail, fix
        self.headers, self.more = headers, more

    @property
    def document(self) -> dict[str, Any]:
        """Its members."""
        named = {"type": f"urn:stream-app:{self.kind}", "title": TITLES[self.kind], "status": self.status}
        return {**named, "detail": self.detail, "fix": self.fix, **self.more}


def response(error: ProblemError) -> Response:
    """What the client gets."""
    return Response(orjson.dumps(error.document), error.status, error.headers, MEDIA_TYPE)
