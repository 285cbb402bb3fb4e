"""Server-sent events of a board: what changed is encoded once a second for all who listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import orjson

from stream_app.ops.dashboard import DashboardModel

TICK_S = 1.0
MOST = 200  # listeners of one process; each holds a connection and no queue
Scope = tuple[str, int | None]  # application, and the shard or all of them


def encode(value: Any) -> bytes:
    """JSON in which what is no number is null."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def event(name: str, identity: str, data: bytes) -> bytes:
    """One event; JSON of orjson has no line break."""
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), identity.encode(), data)


class Channel:
    """What one scope's listeners get: the newest frame, from which version, and up to which."""

    def __init__(self, board: DashboardModel, shard: int | None) -> None:
        self.board, self.shard = board, shard
        self.first = self.last = board.version
        self.frame = b""
        self.listeners = 0
        self.turn = asyncio.Event()


class Feed:
    """All channels. A slow listener misses frames and then gets what changed since: nothing is queued.

    `run` names this process: an id of another one gets a snapshot.
    """

    def __init__(self, boards: Mapping[str, DashboardModel], now_ms: Callable[[], int], run: str) -> None:
        self.boards, self.now_ms, self.run = boards, now_ms, run
        self.channels: dict[Scope, Channel] = {}
        self.closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(channel.listeners for channel in self.channels.values())

    def identity(self, version: int) -> str:
        """The id of an event."""
        return f"{self.run}-{version}"

    def since(self, identity: str) -> int:
        """The version that a listener has, −1 if it has none of this process."""
        run, _, version = identity.rpartition("-")
        return int(version) if run == self.run and version.isascii() and version.isdigit() else -1

    def snapshot(self, app: str, shard: int | None) -> bytes:
        """All of a scope, with the id to go on from."""
        board = self.boards[app].snapshot(self.now_ms(), shard)
        return encode({**board, "id": self.identity(board["version"])})

    async def listen(self, app: str, shard: int | None, identity: str) -> AsyncGenerator[bytes, None]:
        """Events for one listener, until it goes or the process ends."""
        channel = self.channels.setdefault((app, shard), Channel(self.boards[app], shard))
        board, since = channel.board, self.since(identity)
        channel.listeners += 1
        try:
            if since < 0 or since > board.version:
                since = board.version
                yield event("snapshot", self.identity(since), self.snapshot(app, shard))
            while not self.closed:
                turn = channel.turn
                if since < channel.first:
                    missed, since = since, board.version
                    yield self.changes(channel, missed)
                await turn.wait()
                if since >= channel.first and not self.closed:
                    since = channel.last
                    yield channel.frame
        finally:
            channel.listeners -= 1
            if not channel.listeners:
                self.channels.pop((app, shard), None)

    def changes(self, channel: Channel, since: int) -> bytes:
        """What changed in a scope."""
        board = channel.board
        changed = board.changes(since, self.now_ms(), channel.shard)
        return event("changes", self.identity(board.version), encode(changed))

    def tick(self) -> None:
        """Make one frame for each scope that somebody listens to."""
        for channel in list(self.channels.values()):
            channel.first, channel.last = channel.last, channel.board.version
            channel.frame = self.changes(channel, channel.first)
            turn, channel.turn = channel.turn, asyncio.Event()
            turn.set()

    async def beat(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def close(self) -> None:
        """End every stream, so that the server can end."""
        self.closed = True
        for channel in self.channels.values():
            channel.turn.set()
