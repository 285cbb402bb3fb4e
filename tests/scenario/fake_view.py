"""What a predictor reads, in memory, as strict as Redis is: tests/contract/test_port_serving.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from stream_app.errors import Unreachable


class FakeView:
    """`down` makes every read fail; `reads` counts those of entities; `gate` holds them until it is set."""

    def __init__(self, shards: int = 1) -> None:
        self.published: list[tuple[str, int] | None] = [None] * shards
        self.models: dict[int, bytes] = {}
        self.blobs: dict[tuple[int, str], bytes] = {}
        self.down = False
        self.store_down: set[int] = set()  # shards whose model cannot be read
        self.hangs: dict[int, asyncio.Event] = {}  # shards whose model comes when this is set
        self.asked: list[int] = []  # shards whose model was read
        self.reads: list[list[str]] = []
        self.gate: asyncio.Event | None = None
        self.ears: list[asyncio.Queue[list[str]]] = []

    def write(self, shard: int, blobs: Mapping[str, bytes]) -> None:
        """A learner's write, which is told to whoever listens."""
        self.blobs |= {(shard, key): blob for key, blob in blobs.items()}
        for ear in self.ears:
            ear.put_nowait(list(blobs))

    def answer(self) -> None:
        """As a server that may be away."""
        if self.down:
            raise Unreachable("Redis does not answer", "See its own log")

    async def shown(self) -> list[tuple[str, int] | None]:
        self.answer()
        return list(self.published)

    async def sealed(self, shard: int) -> bytes | None:
        self.answer()
        self.asked.append(shard)
        if shard in self.hangs:
            await self.hangs[shard].wait()
        if shard in self.store_down:
            raise Unreachable("the snapshot store does not answer", "See its own log")
        return self.models.get(shard)

    async def entities(self, keys: Sequence[tuple[int, str]]) -> list[bytes | None]:
        self.answer()
        self.reads.append([key for _, key in keys])
        found = [self.blobs.get(key) for key in keys]
        if self.gate is not None:
            await self.gate.wait()
        self.answer()
        return found

    async def changes(self) -> AsyncGenerator[list[str] | None, None]:
        if self.down:
            return
        ear: asyncio.Queue[list[str]] = asyncio.Queue()
        self.ears.append(ear)
        try:
            yield None
            while True:
                yield await ear.get()
        finally:
            self.ears.remove(ear)

    async def close(self) -> None:
        """Nothing is held."""


class Counted:
    """Telemetry that a test reads."""

    def __init__(self) -> None:
        self.hits = self.misses = self.rows = self.stale = self.unknown = self.bad = self.broken = 0
        self.refusals: list[int] = []
        self.problems: list[int] = []
        self.ages: list[float | None] = []

    def answered(
        self,
        seconds: float,
        rows: int,
        *,
        stale: int,
        unknown: int,
        bad: int,
        broken: int,
        feature_age_s: float | None,
    ) -> None:
        assert seconds >= 0
        self.bad += bad
        self.broken += broken
        self.ages.append(feature_age_s)
        self.rows += rows
        self.stale += stale
        self.unknown += unknown

    def read(self, hits: int, misses: int) -> None:
        self.hits += hits
        self.misses += misses

    def problem(self, status: int) -> None:
        self.problems.append(status)

    def refused(self, shard: int) -> None:
        self.refusals.append(shard)

    def serves(self, shard: int, version: int, learned: int, at_ms: int) -> None: ...
