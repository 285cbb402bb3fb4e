"""The contract of `ServingView`, for the fake and for Valkey."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
import redis

from stream_app.adapters.model_shelf import RedisModelShelf
from stream_app.adapters.redis_serving import RedisServing
from stream_app.adapters.redis_view import RedisView
from stream_app.errors import Unreachable
from stream_app.ports import ServingView
from tests.scenario.fake_view import FakeView

T = TypeVar("T")
SHARDS = 2
DAY_MS = 86_400_000
LIFE = "5a"
WITHIN_S = 5.0


class Doors:
    """A predictor's view, and how a learner writes what it shows."""

    def __init__(
        self,
        view: ServingView,
        write: Callable[[int, dict[str, bytes]], object],
        publish: Callable[[int, str, int, bytes], object],
    ) -> None:
        self.view, self.write, self.publish = view, write, publish

    def run(self, ask: Callable[[ServingView], Awaitable[T]]) -> T:
        """Ask in a loop of its own, and close."""

        async def asked() -> T:
            try:
                return await asyncio.wait_for(ask(self.view), WITHIN_S)
            finally:
                await self.view.close()

        return asyncio.run(asked())


@pytest.fixture(params=["fake", "redis"])
def doors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Doors]:
    """Empty ones."""
    if request.param == "fake":
        yield faked(FakeView(SHARDS))
        return
    url, name = request.getfixturevalue("services").redis_url, f"port-{uuid4().hex[:8]}"
    view = RedisServing(url, {}, name, SHARDS, str(tmp_path), WITHIN_S)
    with redis.Redis.from_url(url) as client:
        seqs = [0] * SHARDS

        def write(shard: int, blobs: dict[str, bytes]) -> None:
            seqs[shard] += 1
            writer = RedisView(client, name, shard, DAY_MS, life=LIFE)
            assert writer.rebuild(f"0:{seqs[shard]}", blobs, done=True) == "ok"

        def publish(shard: int, stamp: str, at_ms: int, sealed: bytes) -> None:
            shelf = RedisModelShelf(client, str(tmp_path), name, shard, b"k" * 32, life=LIFE)
            assert shelf.put(stamp, at_ms, sealed) == "ok"

        yield Doors(view, write, publish)


def faked(view: FakeView) -> Doors:
    """The fake that scenarios use."""

    def publish(shard: int, stamp: str, at_ms: int, sealed: bytes) -> None:
        view.published[shard], view.models[shard] = (f"{stamp}:{LIFE}", at_ms), sealed

    return Doors(view, view.write, publish)


@pytest.fixture(params=["fake", "redis"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Doors:
    """Of a server that does not answer."""
    if request.param == "fake":
        view = FakeView(SHARDS)
        view.down = True
        return faked(view)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{held.getsockname()[1]}/0"
    return Doors(RedisServing(url, {}, "a", SHARDS, str(tmp_path), 1.0), no_write, no_write)


def no_write(*_: Any) -> None:
    """Nobody writes there."""


def test_where_nothing_was_written_everything_is_unknown(doors: Doors) -> None:
    """None for each shard and each key, in their order."""

    async def ask(view: ServingView) -> Any:
        return await view.shown(), await view.sealed(0), await view.entities([(0, "a"), (1, "b")])

    assert doors.run(ask) == ([None, None], None, [None, None])


def test_blobs_come_in_the_order_of_the_keys_and_of_their_shard(doors: Doors) -> None:
    """As often as a key is named; the same key of another shard is another entity."""
    doors.write(0, {"a": b"[1,null]", "c": b"[3,null]"})
    doors.write(1, {"a": b"[2,null]"})
    found = doors.run(lambda view: view.entities([(0, "c"), (1, "a"), (0, "a"), (0, "c"), (1, "c")]))
    assert [blob and blob[:2] for blob in found] == [b"[3", b"[2", b"[1", b"[3", None]


def test_a_shelf_shows_its_newest_champion_with_stamp_life_and_time(doors: Doors) -> None:
    """Each shard its own."""
    doors.publish(1, "0:9", 7, b"nine")
    doors.publish(1, "0:10", 8, b"ten")

    async def ask(view: ServingView) -> Any:
        return await view.shown(), await view.sealed(1), await view.sealed(0)

    assert doors.run(ask) == ([None, (f"0:10:{LIFE}", 8)], b"ten", None)


def test_changes_are_told_from_the_first_word_on(doors: Doors) -> None:
    """First None; then each key that is written, of whichever shard."""

    async def ask(view: ServingView) -> set[str]:
        told: set[str] = set()
        changes = view.changes()
        assert await anext(changes) is None
        doors.write(0, {"a": b"[1,null]"})
        doors.write(1, {"b": b"[1,null]"})
        while not {"a", "b"} <= told:
            keys = await anext(changes)
            told.update(keys or ())
        await changes.aclose()
        return told

    assert doors.run(ask) == {"a", "b"}


def test_a_server_that_is_away_is_unreachable_to_every_read_and_tells_no_changes(away: Doors) -> None:
    """Within the timeout; who listens hears the end, not that all is well."""

    async def ask(view: ServingView) -> list[Any]:
        for read in (view.shown(), view.sealed(0), view.entities([(0, "a")])):
            with pytest.raises(Unreachable):
                await read
        return [told async for told in view.changes()]

    assert away.run(ask) == []
