"""redis-py, asyncio, RESP3: what a predictor reads of the view, and which of it changed since.

One connection listens to every change of the application's entities (CLIENT TRACKING … BCAST); reads come
from a pool. Tracking by reads would tell less, but forgets what a connection has read when that one is lost,
and nobody hears of it: a copy would stay "current" for ever.
Source: Redis, "Client-side caching".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import fsspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from stream_app.errors import Unreachable

CONNECTIONS = 16
PING_S = 1.0  # a connection that listens only would not notice a dead server


class RedisServing:
    """One application's view for one event loop; `store` is the snapshot store's URL, for large models."""

    def __init__(
        self, url: str, kwargs: dict[str, Any], app: str, shards: int, store: str, timeout_s: float
    ) -> None:
        self.app, self.shards, self.timeout_s = app, shards, timeout_s
        self.fs, root = fsspec.core.url_to_fs(store)
        self.root = f"{root.rstrip('/')}/{app}"
        self.options = {**kwargs, "protocol": 3, "retry": None, "retry_on_timeout": False}
        self.url = url
        self.pool = redis.BlockingConnectionPool.from_url(
            url, **self.options, max_connections=CONNECTIONS, timeout=timeout_s
        )
        # Models have a pool of their own: a large value holds up no entity.
        self.models = redis.Redis.from_url(url, **self.options)

    async def shown(self) -> list[tuple[str, int] | None]:
        """Stamp and time of each shard's published champion."""
        pipe = self.models.pipeline(transaction=False)
        for shard in range(self.shards):
            pipe.hmget(self.key(shard), ["stamp", "at"])
        answers = await self.ask(pipe.execute())
        return [(stamp.decode(), int(at)) if stamp else None for stamp, at in answers]

    async def sealed(self, shard: int) -> bytes | None:
        """The published champion itself, from wherever it is."""
        model, file = await self.ask(self.models.hmget(self.key(shard), ["model", "file"]))
        if file is None:
            sealed: bytes | None = model
            return sealed
        name = file.decode()
        if "/" in name:
            return None  # no learner writes that
        path = f"{self.root}/{shard}/{name}"
        try:
            return await asyncio.to_thread(self.fs.cat_file, path)
        except FileNotFoundError:
            return None  # replaced meanwhile
        except OSError as error:
            raise Unreachable(f"the snapshot store does not answer: {error}", "See its own log") from error

    def key(self, shard: int) -> str:
        """The hash that a shard's learner writes."""
        return f"{{{self.app}:{shard}}}:m"

    async def entities(self, keys: Sequence[tuple[int, str]]) -> list[bytes | None]:
        """One MGET."""
        client = redis.Redis(connection_pool=self.pool)
        names = [f"{{{self.app}:{shard}}}:f:{key}" for shard, key in keys]
        blobs: list[bytes | None] = await self.ask(client.mget(names))
        return blobs

    async def ask(self, answer: Any) -> Any:
        """Within the timeout, all told.

        Raises:
            Unreachable: no answer.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                return await answer
        except (RedisError, OSError, TimeoutError) as error:
            raise Unreachable(f"Redis does not answer ({type(error).__name__})", "See its own log") from error

    async def changes(self) -> AsyncGenerator[list[str] | None, None]:
        """First None, once it listens; then entities' keys that changed, or None for all of them."""
        heard: asyncio.Queue[list[str] | None] = asyncio.Queue()

        async def push(message: list[Any]) -> None:
            names = message[1]
            heard.put_nowait(
                None if names is None else [entity for name in names if (entity := key_of(name))]
            )

        options = {**self.options, "socket_timeout": 2 * PING_S}
        ears = redis.ConnectionPool.from_url(self.url, **options)
        connection = ears.make_connection()  # type: ignore[no-untyped-call]
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(self.timeout_s):
                await connection.connect()
                connection._parser.set_invalidation_push_handler(push)  # noqa: SLF001  there is no public one
                prefixes = [f"{{{self.app}:{shard}}}:f:" for shard in range(self.shards)]
                named = [word for prefix in prefixes for word in ("PREFIX", prefix)]
                await connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", *named)
                await connection.read_response()
            yield None
            tasks = [asyncio.create_task(self.listen(connection)), asyncio.create_task(self.ping(connection))]
            while True:
                getting = asyncio.create_task(heard.get())
                done, _ = await asyncio.wait({getting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                if done != {getting}:
                    getting.cancel()
                    return
                yield getting.result()
        except (RedisError, OSError, TimeoutError):
            return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await connection.disconnect()

    async def listen(self, connection: Any) -> None:
        """Read pushes until the connection is lost; silence for two pings is a loss."""
        while True:
            await connection.read_response(push_request=True)

    async def ping(self, connection: Any) -> None:
        """Ask for a sign of life now and then."""
        while True:
            await connection.send_command("PING")
            await asyncio.sleep(PING_S)

    async def close(self) -> None:
        """Let go of all connections."""
        await self.pool.disconnect()
        await self.models.aclose()


def key_of(name: bytes) -> str:
    """The entity of a blob's name `{app:shard}:f:<entity>`."""
    return name.decode().partition("}:f:")[2]
