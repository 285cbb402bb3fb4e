"""An HTTP server in a thread that answers as it is told, and both predictor clients to ask it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self

import orjson
import uvicorn

from stream_app.client import AsyncPredictorClient, PredictorClient

TOKEN = "a-token-of-a-test"


class Seen(NamedTuple):
    """A request that came in; `path` as a route sees it, `raw` as it was sent."""

    method: str
    path: str
    raw: str
    headers: dict[str, str]
    body: Any


class Server:
    """An ASGI application: `tell` an answer for each request to come; the last one stays."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.told: list[tuple[int, bytes, dict[str, str], float]] = []
        self.url = ""

    def tell(self, status: int, body: Any, after_s: float = 0, **headers: str) -> None:
        """Answer with this status and body, `after_s` late; `retry_after` stands for Retry-After."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        self.told.append((status, content, headers, after_s))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = orjson.loads(message["body"]) if message["body"] else None
        self.seen.append(Seen(scope["method"], scope["path"], scope["raw_path"].decode(), headers, body))
        status, content, more, after_s = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        with suppress(TimeoutError):  # a client that leaves is not waited for
            await asyncio.wait_for(receive(), after_s)
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
        length = (b"content-length", str(len(content)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*named, length]})
        await send({"type": "http.response.body", "body": content})

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """On a free port of 127.0.0.1, by uvicorn."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            how: Any = {"loop": "asyncio", "http": "h11", "ws": "none", "lifespan": "off", "log_config": None}
            served = uvicorn.Server(uvicorn.Config(self, **how))
            thread = threading.Thread(target=served.run, args=([listening],))
            thread.start()
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            try:
                yield self
            finally:
                served.should_exit = True
                thread.join(timeout=10)


class Call:
    """Calls a method of a new client by its name, and gives what it returns."""

    def __init__(self, url: str, *, awaited: bool) -> None:
        self.url, self.awaited = url, awaited

    def __call__(self, name: str, *arguments: Any, how: dict[str, Any] | None = None, **more: Any) -> Any:
        given = {"base_url": self.url, "token": TOKEN, "trust_env": False, **(how or {})}
        if not self.awaited:
            with PredictorClient(**given) as client:
                return getattr(client, name)(*arguments, **more)

        async def awaiting() -> Any:
            async with AsyncPredictorClient(**given) as client:
                return await getattr(client, name)(*arguments, **more)

        return asyncio.run(awaiting())
