"""What is known of each entity, in this process first, then in Redis by one MGET per request.

Redis reports which keys changed after they were read. While its reports arrive, a copy is as good as Redis
itself. A copy that changed, or whose changes may have been missed, is read again, and answers only where
Redis does not: better an old answer that says so than none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import structlog
from cachetools import LRUCache

from stream_app.errors import Unreachable
from stream_app.ports import ServingTelemetry, ServingView
from topics.placement import partition_for

RETRY_S = 0.25
log = structlog.get_logger()
Entity = list[Any]  # as `stream_app.state.entities` has it, and the layout of its features


class Found(NamedTuple):
    """`entity` None: nothing is known of it. `current`: as Redis has it, else from the last copy, if any."""

    shard: int
    entity: Entity | None
    current: bool


class Copy:
    """One entity as it was read; `heard` numbers the connection that would have reported a change."""

    __slots__ = ("entity", "heard", "shard")

    def __init__(self, shard: int, entity: Entity | None, heard: int) -> None:
        self.shard, self.entity, self.heard = shard, entity, heard


class EntityCache:
    """`many` reads; `hear` calls `hears`, `changed` and `lost`; `up` says whether Redis answers.

    `hearing` numbers the connection that reports changes, 0 while there is none. A blob of other features
    than `layout` is ignored: its values are identified by position alone.
    """

    def __init__(
        self, view: ServingView, shards: int, size: int, telemetry: ServingTelemetry, layout: str
    ) -> None:
        self.view, self.shards, self.telemetry, self.layout = view, shards, telemetry, layout
        self.copies: LRUCache[str, Copy] = LRUCache(size)
        self.hearing = self.connections = 0
        self.up = True
        self.reading: dict[str, int] = {}  # keys on their way → requests that wait for them
        self.dirty: set[str] = set()  # of those, what changed meanwhile

    def shard_of(self, key: str) -> int:
        """Its partition by murmur2, which costs 10 µs a key: copies keep it."""
        copy = self.copies.get(key)
        return copy.shard if copy is not None else partition_for(key.encode(), self.shards)

    async def many(self, keys: Sequence[str]) -> list[Found]:
        """What is known of each key, in order, as of this moment or later."""
        hearing = self.hearing
        if len(keys) == 1 and self.up:  # the usual request
            one = self.copies.get(keys[0])
            if one is not None and one.heard == hearing != 0:
                self.telemetry.read(1, 0)
                return [Found(one.shard, one.entity, True)]
        copies = [self.copies.get(key) for key in keys]
        fresh = {
            key: copy
            for key, copy in zip(keys, copies, strict=True)
            if copy is not None and copy.heard == hearing != 0 and self.up
        }
        missing = [key for key in dict.fromkeys(keys) if key not in fresh]
        self.telemetry.read(len(fresh), len(missing))
        if missing:
            fresh |= await self.read(missing)
        found = []
        for key, copy in zip(keys, copies, strict=True):
            now = fresh.get(key)
            if now is not None:
                found.append(Found(now.shard, now.entity, True))
            elif copy is not None:
                found.append(Found(copy.shard, copy.entity, False))
            else:
                found.append(Found(self.shard_of(key), None, False))
        return found

    async def read(self, keys: list[str]) -> dict[str, Copy]:
        """Copies straight from Redis, none if it does not answer; what changes on its way is not trusted."""
        if not self.up:
            return {}
        hearing = self.hearing
        asked = [(self.shard_of(key), key) for key in keys]
        for key in keys:
            self.reading[key] = self.reading.get(key, 0) + 1
        try:
            blobs = await self.view.entities(asked)
        except Unreachable:
            self.up = False  # until the next refresh of the champions finds it back
            return {}
        finally:
            changed = self.dirty.intersection(keys)
            for key in keys:
                left = self.reading[key] - 1
                if left:
                    self.reading[key] = left
                else:
                    del self.reading[key]
                    self.dirty.discard(key)
        fresh = {}
        for (shard, key), blob in zip(asked, blobs, strict=True):
            heard = hearing if hearing == self.hearing and key not in changed else 0
            fresh[key] = self.copies[key] = Copy(shard, self.entity_of(blob), heard)
        return fresh

    def entity_of(self, blob: bytes | None) -> Entity | None:
        """A blob's entity; None if there is none, or its features are not today's."""
        entity: Entity | None = orjson.loads(blob) if blob else None
        return entity if entity is not None and entity[-1] == self.layout else None

    def changed(self, keys: Sequence[str]) -> None:
        """Redis says that these are no longer as they were read."""
        for key in keys:
            copy = self.copies.get(key)
            if copy is not None:
                copy.heard = 0
            if key in self.reading:
                self.dirty.add(key)

    def hears(self) -> None:
        """Changes are reported from now on; copies from before may have missed one."""
        self.connections += 1
        self.hearing = self.connections

    def lost(self) -> None:
        """Changes may be missed from now on."""
        self.hearing = 0

    def reachable(self, up: bool) -> None:
        """Whether Redis answers: while it does not, no request waits for it, and no copy is current."""
        self.up = up


async def hear(view: ServingView, cache: EntityCache) -> None:
    """Until cancelled: let the cache know which of its copies are no longer what Redis has."""
    while True:
        try:
            async for keys in view.changes():
                if keys is None:
                    cache.hears()
                else:
                    cache.changed(keys)
        finally:
            cache.lost()
        await asyncio.sleep(RETRY_S)
