"""redis-py, asyncio, RESP3: what a predictor reads of the view, and which of it changed since.

One connection listens to every change of the application's entities (CLIENT TRACKING … BCAST); reads come
from a pool. Tracking by reads would report less, but forgets what a connection has read when it is lost, and
no one hears of it: a copy would stay "current" forever.
Source: Redis, "Client-side caching".
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import fsspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError

from stream_app.adapters.redis_faults import why
from stream_app.errors import Unreachable

CONNECTIONS = 16
STORE_S = 60.0  # for a large model; then it is asked for again
PING_S = 1.0  # a connection that listens only would not notice a dead server
TIME = re.compile(rb"\d{1,15}")  # epoch ms
TURNS = 20  # of the event loop in which an answer may be read


class Patience:
    """`asyncio.timeout` that does not take a busy event loop for a dead server.

    An answer that came in time is still unread if the loop had other work for so long. So the time is counted
    in short turns, and a turn that took longer counts once.
    """

    __slots__ = ("left", "limit", "timer", "turn_s")

    def __init__(self, timeout_s: float) -> None:
        self.turn_s, self.left, self.limit = timeout_s / TURNS, TURNS, asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self.limit.__aenter__()
        self.turn()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.timer.cancel()
        await self.limit.__aexit__(kind, error, trace)

    def turn(self) -> None:
        """Start another turn, or time out after the last."""
        loop = asyncio.get_running_loop()
        if self.left:
            self.left -= 1
            self.timer = loop.call_later(self.turn_s, self.turn)
        else:
            self.limit.reschedule(loop.time())


class RedisServing:
    """One application's view for one event loop; `store` is the snapshot store's URL, for large models."""

    def __init__(
        self, url: str, kwargs: dict[str, Any], app: str, shards: int, store: str, timeout_s: float
    ) -> None:
        self.app, self.shards, self.timeout_s = app, shards, timeout_s
        self.fs, root = fsspec.core.url_to_fs(store)
        self.root = f"{root.rstrip('/')}/{app}"
        # One dead connection of the pool is no dead Redis: asked once more, at once, over a new one.
        again = Retry(NoBackoff(), 1, (LostError,))
        # The timeout is `ask`'s alone: that of a socket would run on while the event loop has other work.
        none = {"socket_timeout": None, "socket_connect_timeout": None}
        self.options = {**kwargs, **none, "protocol": 3, "retry": again, "retry_on_timeout": False}
        self.url = url
        self.pool = redis.BlockingConnectionPool.from_url(
            url, **self.options, max_connections=CONNECTIONS, timeout=None
        )
        # Models have a pool of their own: a large value holds up no entity.
        self.models = redis.Redis.from_url(url, **self.options)

    async def shown(self) -> list[tuple[str, int] | None]:
        """Stamp (<epoch>:<seq>:<life>) and time of each shard's published champion."""
        pipe = self.models.pipeline(transaction=False)
        for shard in range(self.shards):
            pipe.hmget(self.key(shard), ["stamp", "at"])
        answers = await self.ask(pipe.execute(raise_on_error=False))
        return [shown_by(answer) for answer in answers]

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
            async with asyncio.timeout(STORE_S):
                found: bytes = await in_thread(lambda: self.fs.cat_file(path))
                return found
        except FileNotFoundError:
            return None  # replaced meanwhile
        except Exception as error:  # each store has errors of its own
            raise Unreachable(f"the snapshot store does not answer: {error}", "See its own log") from error

    def key(self, shard: int) -> str:
        """The hash that a shard's learner writes."""
        return f"{{{self.app}:{shard}}}:m"

    async def entities(self, keys: Sequence[tuple[int, str]]) -> list[bytes | None]:
        """Read the blobs with one MGET."""
        client = redis.Redis(connection_pool=self.pool)
        names = [f"{{{self.app}:{shard}}}:f:{key}" for shard, key in keys]
        blobs: list[bytes | None] = await self.ask(client.mget(names))
        return blobs

    async def ask(self, answer: Any) -> Any:
        """Await an answer, within the timeout altogether.

        Raises:
            Unreachable: no answer.
        """
        try:
            async with Patience(self.timeout_s):
                return await answer
        except (RedisError, OSError, TimeoutError) as error:
            raise Unreachable(f"Redis {why(error)}", "See its own log, and `stream-app doctor`") from error

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
        connection = ears.make_connection()  # type: ignore[no-untyped-call]  # redis-py gives it no types
        tasks: list[asyncio.Task[None]] = []
        try:
            async with Patience(self.timeout_s):
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


async def in_thread(read: Callable[[], Any]) -> Any:
    """The outcome of a call that may block without end: a thread of its own, which holds up no exit."""
    loop, outcome = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def work() -> None:
        try:
            result, error = read(), None
        except Exception as raised:  # noqa: BLE001  raised again where it is awaited
            result, error = None, raised
        with suppress(RuntimeError):  # the loop ended meanwhile
            loop.call_soon_threadsafe(resolve, result, error)

    def resolve(result: Any, error: Exception | None) -> None:
        if not outcome.done():
            outcome.set_exception(error) if error else outcome.set_result(result)

    threading.Thread(target=work, daemon=True, name="snapshot-store").start()
    return await outcome


def shown_by(answer: Any) -> tuple[str, int] | None:
    """One shard's stamp and time; what somebody else wrote there is no reason to fail the other shards.

    Raises:
        Unreachable: Redis does not let us read it.
    """
    if isinstance(answer, ResponseError) and not str(answer).startswith("WRONGTYPE"):
        raise Unreachable(f"Redis {why(answer)}", "See its own log, and `stream-app doctor`")
    if isinstance(answer, Exception):
        return str(answer), 0
    stamp, at = answer
    if stamp is None:
        return None
    return stamp.decode(errors="replace"), int(at) if at is not None and TIME.fullmatch(at) else 0


def key_of(name: bytes) -> str:
    """The entity of a blob's name `{app:shard}:f:<entity>`."""
    return name.decode().partition("}:f:")[2]
