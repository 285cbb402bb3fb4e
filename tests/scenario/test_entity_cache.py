"""Two levels of what is known of entities: never fresh in name only, and the last copy when Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from stream_app.predictor.entities import EntityCache, Found
from tests.scenario.fake_view import Counted, FakeView

A, B = [1, 10, [[1]], "now"], [2, 20, [[2]], "now"]
Case = Callable[[EntityCache, FakeView], Awaitable[None]]


def run(case: Case, *, size: int = 100, hears: bool = True) -> Counted:
    """One case in an event loop of its own."""

    async def main() -> Counted:
        view, counted = FakeView(), Counted()
        cache = EntityCache(view, 1, size, counted, "now")
        view.blobs[0, "a"] = orjson.dumps(A)
        if hears:
            cache.hears()
        await case(cache, view)
        return counted

    return asyncio.run(main())


async def one(cache: EntityCache, key: str = "a") -> Found:
    """What is known of one key."""
    (found,) = await cache.many([key])
    return found


def test_a_copy_answers_until_redis_says_that_it_changed() -> None:
    """The second read asks nobody; after the change the next one does."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        assert await one(cache) == await one(cache) == Found(0, A, True)
        assert view.reads == [["a"]]
        view.blobs[0, "a"] = orjson.dumps(B)
        cache.changed(["a"])
        assert await one(cache) == Found(0, B, True)
        assert view.reads == [["a"], ["a"]]

    counted = run(case)
    assert (counted.hits, counted.misses) == (1, 2)


def test_an_unknown_entity_is_remembered_as_such() -> None:
    """Until it is written."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        assert await one(cache, "n") == await one(cache, "n") == Found(0, None, True)
        assert view.reads == [["n"]]

    run(case)


@pytest.mark.parametrize("blob", [[1, 10, [[1]], "before"], [1, 10, [[1]]]])
def test_what_other_features_made_tells_nothing(blob: list[Any]) -> None:
    """By position it would be read as values that it never was."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        view.blobs[0, "a"] = orjson.dumps(blob)
        assert await one(cache) == Found(0, None, True)

    run(case)


def test_one_request_reads_all_that_it_misses_at_once() -> None:
    """What is here already is not asked again, nor a key twice."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        view.blobs[0, "b"] = orjson.dumps(B)
        await one(cache)
        found = await cache.many(["a", "b", "c", "b"])
        assert [one.entity for one in found] == [A, B, None, B]
        assert view.reads == [["a"], ["b", "c"]]

    run(case)


def test_nothing_is_trusted_while_changes_cannot_be_heard() -> None:
    """Each read asks Redis, and after the connection is back the copies from before are read anew."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        await one(cache)
        cache.lost()
        assert await one(cache) == Found(0, A, True)
        assert await one(cache) == Found(0, A, True)
        cache.hears()
        await one(cache)
        await one(cache)
        assert len(view.reads) == 4

    run(case)


def test_a_key_that_changes_while_it_is_read_is_not_trusted() -> None:
    """The change may be newer than the answer on its way."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        view.gate = asyncio.Event()
        reading = asyncio.create_task(one(cache))
        await asyncio.sleep(0)
        view.blobs[0, "a"] = orjson.dumps(B)
        cache.changed(["a"])
        view.gate.set()
        await reading
        assert await one(cache) == Found(0, B, True)

    run(case)


def test_a_copy_that_was_right_when_the_request_came_is_current() -> None:
    """Though it changed while another key of the same request was read."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        await one(cache)
        view.gate = asyncio.Event()
        reading = asyncio.create_task(cache.many(["a", "b"]))
        await asyncio.sleep(0)
        cache.changed(["a"])
        view.gate.set()
        assert await reading == [Found(0, A, True), Found(0, None, True)]

    run(case)


def test_a_connection_that_is_lost_while_a_key_is_read_leaves_it_untrusted() -> None:
    """A change in between would have been told to nobody."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        view.gate = asyncio.Event()
        reading = asyncio.create_task(one(cache))
        await asyncio.sleep(0)
        cache.lost()
        cache.hears()
        view.gate.set()
        await reading
        await one(cache)
        assert len(view.reads) == 2

    run(case)


@pytest.mark.parametrize("changed", [False, True], ids=["unchanged", "changed"])
def test_the_last_copy_answers_while_redis_is_away_and_says_so(changed: bool) -> None:
    """Even one that is known to be old: better than none."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        await one(cache)
        cache.lost()
        if changed:
            cache.changed(["a"])
        view.down = True
        assert await one(cache) == Found(0, A, False)
        assert await one(cache, "n") == Found(0, None, False)

    run(case)


def test_no_copy_is_current_while_redis_does_not_answer() -> None:
    """A frozen server says nothing of changes, and none of having said nothing."""

    async def case(cache: EntityCache, _: FakeView) -> None:
        await one(cache)
        cache.reachable(False)
        assert await one(cache) == Found(0, A, False)
        cache.reachable(True)
        assert await one(cache) == Found(0, A, True)

    run(case)


def test_a_dead_redis_is_waited_for_once() -> None:
    """Until somebody finds it back, requests answer from what is here at once."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        view.down = True
        await one(cache)
        assert not cache.up
        view.down = False
        assert await one(cache) == Found(0, None, False)
        assert view.reads == []
        cache.reachable(True)
        assert await one(cache) == Found(0, A, True)

    run(case)


def test_memory_is_bounded_by_the_least_recently_used() -> None:
    """A scan over many entities leaves no more copies than were allowed."""

    async def case(cache: EntityCache, _: FakeView) -> None:
        for n in range(10):
            await one(cache, f"e{n}")
        assert list(cache.copies) == ["e8", "e9"]
        assert (cache.reading, cache.dirty) == ({}, set())

    run(case, size=2)


def test_a_request_of_more_keys_than_copies_may_be_is_answered_whole() -> None:
    """Its answers come from what was read, not from what was kept."""

    async def case(cache: EntityCache, view: FakeView) -> None:
        view.blobs[0, "b"] = orjson.dumps(B)
        found: list[Any] = [one.entity for one in await cache.many(["a", "b", "c"])]
        assert found == [A, B, None]

    run(case, size=1)
