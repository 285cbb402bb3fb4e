"""httpx: predictions, features and feedback over the HTTP API of `stream-app serve`.

The two clients differ in how they send; requests are made in `asks.py`, and `interpret` reads what came back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

import httpx
import msgspec
import stamina

from stream_app.client import requests
from stream_app.client.requests import Answer, Ask, Bounds, EntityFeatures, Options, Problem
from stream_app.errors import Refused, StreamAppError, Unreachable, UsageError

BASE_URL = "http://127.0.0.1:8000"
ATTEMPTS = 3
LEAST_S = 0.01  # what an attempt at the very end of its call's time still gets
T = TypeVar("T")
Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)

__all__ = ["Answer", "AsyncPredictorClient", "EntityFeatures", "PredictorClient", "Problem", "StaleAnswer"]


class StaleAnswer(StreamAppError):
    """The answer would be older than asked: ask with a larger bound, or do without.

    `document` is the server's problem document, with `violated`, `model_age_ms` and `feature_age_ms`.
    """

    def __init__(self, message: str, remedy: str, document: Mapping[str, Any]) -> None:
        super().__init__(message, remedy)
        self.document = document


class NotNow(Unreachable):
    """Worth another attempt, after `after_s` seconds if the server has named them."""

    def __init__(self, message: str, remedy: str, after_s: float | None = None) -> None:
        super().__init__(message, remedy)
        self.after_s = after_s


def interpret(ask: Ask[T], where: str, got: httpx.Response | httpx.RequestError) -> T:
    """What an attempt brought, as its answer.

    Raises:
        StreamAppError: by the reaction, as `PredictorClient` says.
    """
    if isinstance(got, httpx.RequestError):
        why = f"nothing answers at {where} ({type(got).__name__})"
        error: StreamAppError = NotNow(why, "Start `stream-app serve MODULE:APP`, or correct base_url")
        error.__cause__ = got
    elif got.status_code != 200:
        error = refusal(where, got)
    else:
        try:
            return ask.read(got.content)
        except (ValueError, KeyError) as fault:
            raise StreamAppError(
                f"{where} answers {ask.path} with something else ({fault})",
                "Check that base_url is the address of `stream-app serve`, and both of one version",
            ) from fault
    if ask.instead is not None and isinstance(error, Unreachable):
        return ask.instead
    raise error


def refusal(where: str, got: httpx.Response) -> StreamAppError:
    """A problem document as the error that calls for the same reaction."""
    try:
        document = msgspec.json.decode(got.content, type=dict[str, Any])
    except ValueError:
        document = {}  # of a proxy in between, perhaps
    status = got.status_code
    message = str(document.get("detail") or f"{where} answers {status}")
    remedy = str(document.get("fix") or "")
    if status == 409:
        return StaleAnswer(message, remedy, document)
    if status in (429, 503):
        after = got.headers.get("Retry-After", "")
        return NotNow(message, remedy, float(after) if after.isascii() and after.isdigit() else None)
    if status in (401, 403):
        return Refused(message, remedy)
    if 400 <= status < 500:
        return UsageError(message, remedy)
    return StreamAppError(message, remedy or "Look into the log of `stream-app serve`, and at base_url")


class Trial:
    """The time of one call, over all its attempts."""

    def __init__(self, timeout_s: float, within_s: float) -> None:
        self.timeout_s, self.until_s = timeout_s, monotonic() + within_s

    def left_s(self) -> float:
        """How long the next attempt may wait for the network at a time."""
        return max(LEAST_S, min(self.timeout_s, self.until_s - monotonic()))

    def again(self, error: Exception) -> bool | float:
        """Whether to try again, or after how many seconds: not if the server names more than are left."""
        if not isinstance(error, NotNow):
            return False
        after_s = error.after_s
        if monotonic() + (after_s or 0.0) >= self.until_s:
            return False
        return True if after_s is None else after_s


class Connection(Generic[Http]):
    """What both clients are made of: the address, the token, how long to wait, httpx's own arguments."""

    # Where the server names no time: a connection that broke is worth another at once.
    backoff: Mapping[str, Any] = {"attempts": ATTEMPTS, "wait_initial": 0.05, "wait_jitter": 0.05}
    maker: type[Http]

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        token: str | None = None,
        timeout_s: float = 1.0,
        within_s: float = 4.0,
        **httpx_arguments: Any,
    ) -> None:
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise UsageError(
                f"base_url is not a valid address ({error})", f"Write it as in {BASE_URL}"
            ) from None
        if url.scheme not in ("http", "https") or not url.host:
            raise UsageError("base_url is not an HTTP address", f"Write it as in {BASE_URL}")
        headers = {**httpx_arguments.pop("headers", {}), "Content-Type": "application/json"}
        if token is not None:
            # The end of a line in a header would be refused in words that hold the token.
            if not token.strip() or not token.isascii() or not token.isprintable():
                raise UsageError("the token is not one line of printable ASCII", "Strip it where it is read")
            headers["Authorization"] = f"Bearer {token}"
        self.where = str(url.copy_with(userinfo=b""))
        self.timeout_s, self.within_s = timeout_s, within_s
        self.http: Http = self.maker(**httpx_arguments, base_url=url, headers=headers)

    def __repr__(self) -> str:
        """Without the token."""
        return f"{type(self).__name__}({self.where!r})"

    def trial(self) -> Trial:
        """The time of a call that begins now."""
        return Trial(self.timeout_s, self.within_s)


class PredictorClient(Connection[httpx.Client]):
    """Asks `stream-app serve` at `base_url`; a context manager. Thread-safe.

    Each wait for the network ends after `timeout_s`. What does not answer, and what answers 429 or 503, is
    asked up to three times, after the server's own Retry-After and within `within_s` altogether; every call
    may be repeated without harm. `token` is a bearer token; `httpx_arguments` are those of `httpx.Client`.

    Raises:
        UsageError: the request is off: correct it.
        Refused: the token is missing, unknown or not for this.
        Unreachable: it does not answer now, or has no model yet: ask later, or do without.
        StaleAnswer: the answer would be older than asked.
        StreamAppError: the server failed, or something else answers there.
    """

    maker = httpx.Client

    def send(self, ask: Ask[T]) -> T:
        """Ask until there is an answer or no more patience."""
        trial = self.trial()

        def attempt() -> T:
            got: httpx.Response | httpx.RequestError
            try:
                got = self.http.request(ask.method, ask.path, content=ask.body, timeout=trial.left_s())
            except httpx.RequestError as error:
                got = error
            return interpret(ask, self.where, got)

        return stamina.RetryingCaller(**self.backoff)(trial.again, attempt)

    def predict(self, key: str, features: Mapping[str, Any], **options: Unpack[Options]) -> Answer:
        """Predict one row; a feature that is named overrides what is stored under its name."""
        return self.send(requests.predict(key, features, **options))

    def predict_batch(
        self, rows: Iterable[tuple[str, Mapping[str, Any]]], **bounds: Unpack[Bounds]
    ) -> list[Answer | Problem]:
        """Predict rows of (key, features) from the copies of one moment, in their order."""
        return self.send(requests.predict_batch(rows, **bounds))

    def features(self, key: str) -> EntityFeatures:
        """An entity's features now."""
        return self.send(requests.features(key))

    def feedback(
        self,
        key: str,
        event_id: str,
        label: Any,
        weight: float | None = None,
        time: int | datetime | None = None,
    ) -> None:
        """Give an event its label; returns once Kafka has confirmed it."""
        self.send(requests.feedback(key, event_id, label, weight, time))

    def model(self) -> dict[str, Any]:
        """`app` and `shards`: which model answers for each, and what it was trained through."""
        return self.send(requests.model())

    def ready(self) -> bool:
        """Whether every shard has a model; asked once, and False where nothing answers."""
        return self.send(requests.ready())

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncPredictorClient(Connection[httpx.AsyncClient]):
    """As `PredictorClient`, awaited; an async context manager, for one event loop."""

    maker = httpx.AsyncClient

    async def send(self, ask: Ask[T]) -> T:
        """Ask until there is an answer or no more patience."""
        trial = self.trial()

        async def attempt() -> T:
            got: httpx.Response | httpx.RequestError
            try:
                got = await self.http.request(ask.method, ask.path, content=ask.body, timeout=trial.left_s())
            except httpx.RequestError as error:
                got = error
            return interpret(ask, self.where, got)

        return await stamina.AsyncRetryingCaller(**self.backoff)(trial.again, attempt)

    async def predict(self, key: str, features: Mapping[str, Any], **options: Unpack[Options]) -> Answer:
        """Predict one row; a feature that is named overrides what is stored under its name."""
        return await self.send(requests.predict(key, features, **options))

    async def predict_batch(
        self, rows: Iterable[tuple[str, Mapping[str, Any]]], **bounds: Unpack[Bounds]
    ) -> list[Answer | Problem]:
        """Predict rows of (key, features) from the copies of one moment, in their order."""
        return await self.send(requests.predict_batch(rows, **bounds))

    async def features(self, key: str) -> EntityFeatures:
        """An entity's features now."""
        return await self.send(requests.features(key))

    async def feedback(
        self,
        key: str,
        event_id: str,
        label: Any,
        weight: float | None = None,
        time: int | datetime | None = None,
    ) -> None:
        """Give an event its label; returns once Kafka has confirmed it."""
        await self.send(requests.feedback(key, event_id, label, weight, time))

    async def model(self) -> dict[str, Any]:
        """`app` and `shards`: which model answers for each, and what it was trained through."""
        return await self.send(requests.model())

    async def ready(self) -> bool:
        """Whether every shard has a model; asked once, and False where nothing answers."""
        return await self.send(requests.ready())

    async def close(self) -> None:
        """Let go of the connections."""
        await self.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
