"""Published champions and changed entities on a real Valkey: fenced, found again, large, heard of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from stream_app.adapters import model_shelf
from stream_app.adapters.model_shelf import RedisModelShelf
from stream_app.adapters.redis_serving import RedisServing
from stream_app.adapters.redis_view import RedisView
from stream_app.errors import Unreachable

Case = Callable[["Shelf", RedisServing], Awaitable[None]]
NOWHERE = "redis://127.0.0.1:1/0"


class Shelf(RedisModelShelf):
    """One shard's, with its own client."""

    def __init__(self, url: str, directory: Path) -> None:
        self.client = redis.Redis.from_url(url)
        self.app, self.url, self.store = f"m{uuid4().hex[:8]}", url, str(directory)
        super().__init__(self.client, self.store, self.app, 0, b"k" * 32, life="aa")

    def of(self, life: str) -> RedisModelShelf:
        """The same name's in another life."""
        return RedisModelShelf(self.client, self.store, self.app, 0, b"k" * 32, life=life)

    def entity(self, key: str, value: bytes | None) -> None:
        """Write an entity's blob as a learner does, or drop it."""
        name = f"{{{self.app}:0}}:f:{key}"
        if value is None:
            self.client.delete(name)
        else:
            self.client.set(name, value)


@pytest.fixture
def shelf(own_valkey: str, tmp_path: Path) -> Shelf:
    """A store of its own on this file's Valkey: some tests cut every connection."""
    return Shelf(own_valkey, tmp_path)


def read(shelf: Shelf, case: Case) -> None:
    """A case with a predictor's view of the shelf."""

    async def main() -> None:
        view = RedisServing(shelf.url, {}, shelf.app, 1, shelf.store, 2.0)
        try:
            await case(shelf, view)
        finally:
            await view.close()

    asyncio.run(main())


def test_what_is_put_is_read(shelf: Shelf) -> None:
    """With its stamp and the time at which it was the newest, which a touch moves on."""

    async def case(shelf: Shelf, view: RedisServing) -> None:
        assert await view.shown() == [None]
        assert await view.sealed(0) is None
        assert shelf.put("0:7", 100, b"sealed") == "ok"
        assert (await view.shown(), await view.sealed(0)) == ([("0:7:aa", 100)], b"sealed")
        assert shelf.touch("0:7", 200) == "ok"
        assert await view.shown() == [("0:7:aa", 200)]

    read(shelf, case)


@pytest.mark.parametrize(("newer", "older"), [("0:10", "0:9"), ("1:0", "0:99")])
def test_an_older_stamp_never_replaces_a_newer_one(shelf: Shelf, newer: str, older: str) -> None:
    """By number and not by letter; neither put nor touch."""
    assert shelf.put(newer, 1, b"new") == "ok"
    assert (shelf.put(older, 2, b"old"), shelf.touch(older, 2)) == ("fenced", "fenced")
    assert shelf.put(newer, 3, b"again") == "ok"


def test_what_others_wrote_there_is_no_fault_of_the_other_shards(shelf: Shelf) -> None:
    """A key of another type, bytes that are no text, a time that is no number: each for its shard alone."""
    shelf.put("0:7", 100, b"sealed")
    tag = f"{{{shelf.app}:%d}}:m"
    shelf.client.set(tag % 1, "a text")
    shelf.client.hset(tag % 2, mapping={"stamp": b"\xff", "at": "1"})
    shelf.client.hset(tag % 3, mapping={"stamp": "0:1", "at": "soon"})
    shelf.client.hset(tag % 4, mapping={"stamp": "0:2"})

    async def main() -> None:
        view = RedisServing(shelf.url, {}, shelf.app, 6, shelf.store, 2.0)
        first, text, bytes_, late, no_time, none = await view.shown()
        await view.close()
        assert (first, late, no_time, none) == (("0:7:aa", 100), ("0:1", 0), ("0:2", 0), None)
        assert text is not None
        assert text[0].startswith("WRONGTYPE")
        assert bytes_ == ("�", 1)

    asyncio.run(main())


@pytest.mark.parametrize("stamp", ["rubbish", "1:", "0:1x", "0:1:2", "999:9:rebuilt", ""])
def test_a_stamp_of_another_form_is_written_over(shelf: Shelf, stamp: str) -> None:
    """By a rebuild in the view, by the next publication on the shelf; neither is fenced by it."""
    view = RedisView(shelf.client, shelf.app, 0, 60_000, "now")
    shelf.client.set(f"{{{shelf.app}:0}}:s", stamp)
    shelf.client.hset(shelf.name, "stamp", stamp)
    assert view.write("0:1", "0:2", {}) == "behind"
    assert view.rebuild("0:2", {}, True) == "ok"
    assert view.stamp() == "0:2"
    assert (shelf.touch("0:2", 1), shelf.put("0:2", 1, b"sealed")) == ("behind", "ok")


def test_a_newer_stamp_fences_and_one_that_is_being_rebuilt_too(shelf: Shelf) -> None:
    """Until its keys are deleted."""
    view = RedisView(shelf.client, shelf.app, 0, 60_000, "now")
    for stamp in ("1:0", "1:0:rebuilding"):
        shelf.client.set(f"{{{shelf.app}:0}}:s", stamp)
        assert view.write("0:1", "0:2", {}) == view.rebuild("0:2", {}, False) == "fenced"
    shelf.client.delete(f"{{{shelf.app}:0}}:s")
    assert view.rebuild("0:2", {}, False) == "ok"


def test_a_touch_finds_out_what_was_lost(shelf: Shelf) -> None:
    """Flushed, or restored from before the last publication."""
    assert shelf.touch("0:1", 1) == "behind"
    shelf.put("0:1", 1, b"old")
    assert shelf.touch("0:2", 2) == "behind"


def test_a_large_model_lies_in_the_store_and_few_of_them(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Redis points there; the one before stays for who still reads it; a small one needs no file."""
    monkeypatch.setattr(model_shelf, "LARGEST_IN_REDIS", 10)

    def files() -> list[Path]:
        return sorted(tmp_path.rglob("*.model"))

    async def case(shelf: Shelf, view: RedisServing) -> None:
        for seq in range(5):
            assert shelf.put(f"0:{seq}", seq, b"large model %d" % seq) == "ok"
            assert await view.sealed(0) == b"large model %d" % seq
        assert [path.name for path in files()] == [
            "000000-000000000003-aa.model",
            "000000-000000000004-aa.model",
        ]
        assert shelf.put("0:5", 5, b"small") == "ok"
        assert await view.sealed(0) == b"small"
        shelf.put("0:6", 6, b"large once more")
        for path in files():
            path.unlink()
        assert await view.sealed(0) is None
        shelf.client.hset(shelf.name, "file", "../0/elsewhere")
        (tmp_path / shelf.app / "0" / "elsewhere").write_bytes(b"no learner's")
        assert await view.sealed(0) is None

    read(shelf, case)


def test_files_of_an_earlier_life_never_push_out_the_one_that_is_shown(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Their names may sort after it; they stay, and of this life what was written last does."""
    monkeypatch.setattr(model_shelf, "LARGEST_IN_REDIS", 10)
    old = shelf.of("bb")
    for seq in range(3):
        assert old.put(f"9:{seq}", 1, b"an old large model") == "ok"
    for seq in range(5, 8):
        assert shelf.put(f"1:{seq}", 1, b"a large model") == "ok"
    assert sorted(path.name for path in tmp_path.rglob("*.model")) == [
        "000001-000000000006-aa.model",
        "000001-000000000007-aa.model",
        "000009-000000000001-bb.model",
        "000009-000000000002-bb.model",
    ]


def test_the_stamp_of_another_life_fences_no_publication(shelf: Shelf) -> None:
    """However large; it is replaced, and found to be lost by whoever touches it still."""
    old = shelf.of("bb")
    assert old.put("9:9", 1, b"old") == "ok"
    assert shelf.touch("0:1", 2) == "behind"
    assert shelf.put("0:1", 2, b"new") == "ok"
    assert shelf.put("0:0", 3, b"older") == "fenced"
    assert old.touch("9:9", 4) == "behind"


def test_the_stamp_of_another_life_fences_no_view(shelf: Shelf) -> None:
    """Nor is it a view to go on from; within a life newer ones fence, and older ones are behind."""
    old, new = (RedisView(shelf.client, shelf.app, 0, 60_000, "now", life) for life in ("bb", "aa"))
    assert (new.stamp(), new.wrote()) == (None, None)
    assert old.rebuild("9:9", {"a": b"[1,2,[]]"}, True) == "ok"
    assert (old.stamp(), new.stamp(), new.wrote()) == ("9:9", None, "bb")
    assert new.write("0:1", "0:2", {}) == "behind"
    assert new.rebuild("0:1", {"b": b"[1,2,[]]"}, False) == "ok"
    assert (new.stamp(), new.wrote()) == (None, "aa")
    assert new.write("0:1", "0:2", {}) == "behind"
    assert new.rebuild("0:1", {"a": None}, True) == "ok"
    assert (new.stamp(), new.keys()) == ("0:1", ["b"])
    assert new.write("0:1", "0:2", {}) == "ok"
    assert (new.write("0:0", "0:1", {}), new.write("0:3", "0:4", {})) == ("fenced", "behind")
    assert old.write("9:9", "9:10", {}) == "behind"


def test_a_store_that_cannot_be_written_is_tried_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Redis is: the learner goes on, and Redis shows no file that is not there."""
    monkeypatch.setattr(model_shelf, "LARGEST_IN_REDIS", 10)

    def full(*_: Any) -> None:
        raise RuntimeError("an error of a store's own")

    monkeypatch.setattr(shelf.files, "write", full)
    assert shelf.put("0:1", 1, b"a large model") == "down"
    assert shelf.touch("0:1", 1) == "behind"


def test_without_redis_both_sides_say_so(shelf: Shelf) -> None:
    """The writer comes back later, the reader raises."""
    client = redis.Redis.from_url(NOWHERE, socket_connect_timeout=0.2)
    assert RedisModelShelf(client, shelf.store, shelf.app, 0, b"k" * 32).put("0:1", 1, b"sealed") == "down"

    async def case() -> None:
        view = RedisServing(NOWHERE, {}, shelf.app, 1, shelf.store, 0.2)
        for asked in (view.shown(), view.sealed(0), view.entities([(0, "a")])):
            with pytest.raises(Unreachable, match="Redis does not answer"):
                await asked
        assert [change async for change in view.changes()] == []
        await view.close()

    asyncio.run(case())


def test_every_change_is_told_whoever_read_and_whatever_became_of_that_connection(shelf: Shelf) -> None:
    """Written or dropped; also of what was read over a connection that is gone since."""

    async def case(shelf: Shelf, view: RedisServing) -> None:
        shelf.entity("é", b"1")
        shelf.entity("b", b"1")
        changes = view.changes()
        assert await anext(changes) is None
        assert await view.entities([(0, "é"), (0, "b"), (0, "c")]) == [b"1", b"1", None]
        shelf.entity("é", b"2")
        assert await anext(changes) == ["é"]
        await view.pool.disconnect()
        shelf.entity("c", b"1")
        shelf.entity("b", None)
        assert [await anext(changes), await anext(changes)] == [["c"], ["b"]]
        assert await view.entities([(0, "é")]) == [b"2"]
        shelf.entity("é", b"4")
        assert await anext(changes) == ["é"]
        await changes.aclose()

    read(shelf, case)


def test_a_lost_connection_ends_the_changes_and_the_next_one_begins_anew(shelf: Shelf) -> None:
    """What is read after that is told of again."""

    async def case(shelf: Shelf, view: RedisServing) -> None:
        shelf.entity("a", b"1")
        changes = view.changes()
        assert await anext(changes) is None
        await view.entities([(0, "a")])
        (hearing,) = [one["id"] for one in shelf.client.client_list() if "B" in one["flags"]]
        shelf.client.client_kill_filter(_id=hearing)
        assert [change async for change in changes] == []
        again = view.changes()
        assert await anext(again) is None
        await view.entities([(0, "a")])
        shelf.entity("a", b"2")
        assert await anext(again) == ["a"]
        await again.aclose()

    read(shelf, case)


def test_one_dead_connection_of_the_pool_is_no_dead_redis(shelf: Shelf) -> None:
    """What was closed by the server is asked again at once over a new one."""

    async def case(shelf: Shelf, view: RedisServing) -> None:
        shelf.entity("a", b"1")
        for _ in range(3):
            await view.shown()
            assert await view.entities([(0, "a")]) == [b"1"]
            shelf.client.client_kill_filter(_type="normal", skipme=True)

    read(shelf, case)


def test_an_event_loop_with_other_work_takes_no_redis_for_gone(shelf: Shelf) -> None:
    """What came in time is read, however late the loop gets to it."""
    shelf.entity("a", b"1")

    async def work() -> None:
        while True:
            time.sleep(0.05)  # noqa: ASYNC251  batches of others
            await asyncio.sleep(0)

    async def case() -> None:
        view = RedisServing(shelf.url, {}, shelf.app, 1, shelf.store, 0.05)
        others = asyncio.create_task(work())
        assert await view.entities([(0, "a")]) == [b"1"]
        assert await view.shown() == [None]
        changes = view.changes()
        assert await anext(changes) is None
        await changes.aclose()
        others.cancel()
        await view.close()

    asyncio.run(case())


def test_a_blob_says_which_features_made_it_and_a_rebuild_finds_every_one(shelf: Shelf) -> None:
    """Names with signs that a pattern knows are no pattern, and no other application's are found."""
    views = {app: RedisView(shelf.client, app, 0, 60_000, "now") for app in (shelf.app, "m*")}
    assert views[shelf.app].write("", "0:1", {"a": b"[1,2,[]]", "b*": b"[3,4,[]]", "gone": None}) == "ok"
    assert shelf.client.get(f"{{{shelf.app}:0}}:f:a") == b'[1,2,[],"now"]'
    assert sorted(views[shelf.app].keys() or []) == ["a", "b*"]
    assert views["m*"].keys() == []
    nowhere = redis.Redis.from_url(NOWHERE, socket_connect_timeout=0.2)
    assert RedisView(nowhere, shelf.app, 0, 1).keys() is None
