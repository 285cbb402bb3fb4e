"""The contracts of `View` and `ModelShelf`, for the fakes and for Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from stream_app.adapters.model_shelf import RedisModelShelf
from stream_app.adapters.redis_view import RedisView
from stream_app.ports import ModelShelf, View
from tests.scenario import fake_outside
from tests.scenario.shard_driver import application

BLOB = b"[1,null]"
DAY_MS = 86_400_000


class Doors:
    """A view and a shelf of one shard."""

    def __init__(self, view: View, shelf: ModelShelf) -> None:
        self.view, self.shelf = view, shelf


@pytest.fixture(params=["fake", "redis"])
def doors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Doors]:
    """Empty ones."""
    if request.param == "fake":
        world = fake_outside.World(application())
        yield Doors(fake_outside.View(world), fake_outside.Shelf(world))
        return
    name = f"port-{uuid4().hex[:8]}"
    with redis.Redis.from_url(request.getfixturevalue("services").redis_url) as client:
        yield Doors(
            RedisView(client, name, 0, DAY_MS), RedisModelShelf(client, str(tmp_path), name, 0, b"k" * 32)
        )


def test_a_view_is_forgotten_by_the_stamp_that_was_seen(doors: Doors) -> None:
    """Under another one it stays; afterwards the next writer rebuilds it, with an older batch too."""
    view, shown = doors.view, "0:3#0123abcd"
    assert view.rebuild(shown, {"a": BLOB}, done=True) == "ok"
    view.forget("0:3#ffffffff")
    assert view.stamp() == shown
    assert view.rebuild("0:2#0123abcd", {}, done=True) == "fenced"
    view.forget(shown)
    assert view.stamp() is None
    assert view.write("0:1#0123abcd", "0:2#0123abcd", {}) == "behind"
    assert view.rebuild("0:2#0123abcd", {}, done=True) == "ok"


def test_a_champion_is_forgotten_by_the_stamp_that_was_seen(doors: Doors) -> None:
    """Under another one it stays; afterwards an older one is shown."""
    shelf = doors.shelf
    assert (shelf.stamp(), shelf.put("0:3", 1, b"lost")) == (None, "ok")
    shelf.forget("0:4")
    assert (shelf.stamp(), shelf.put("0:2", 2, b"older")) == ("0:3", "fenced")
    shelf.forget("0:3")
    assert (shelf.stamp(), shelf.put("0:2", 2, b"older")) == (None, "ok")


def test_a_view_that_is_missing_is_rebuilt_and_then_written(doors: Doors) -> None:
    """A batch onto nothing is behind; so is one onto a half-built view, which has no stamp yet."""
    view = doors.view
    assert view.stamp() is None
    assert view.write("0:1", "0:2", {"a": BLOB}) == "behind"
    assert view.keys() == []
    assert view.rebuild("0:2", {"a": BLOB}, done=False) == "ok"
    assert view.stamp() is None
    assert view.write("0:2", "0:3", {}) == "behind"
    assert view.rebuild("0:2", {"b": BLOB}, done=True) == "ok"
    assert view.stamp() == "0:2"
    assert view.write("0:2", "0:3", {"c": BLOB, "a": None}) == "ok"
    assert (view.stamp(), sorted(view.keys() or [])) == ("0:3", ["b", "c"])


def test_a_view_takes_nothing_older_than_it_shows(doors: Doors) -> None:
    """Epoch before number, both as numbers; a batch whose base was not written is behind."""
    view = doors.view
    view.rebuild("1:10", {"a": BLOB}, done=True)
    assert view.write("1:8", "1:9", {"a": None}) == "fenced"
    assert view.write("0:98", "0:99", {"a": None}) == "fenced"
    assert view.rebuild("1:9", {"a": None}, done=True) == "fenced"
    assert view.write("1:11", "1:12", {"a": None}) == "behind"
    assert (view.stamp(), view.keys()) == ("1:10", ["a"])
    assert view.write("1:10", "1:11", {}) == "ok"


def test_a_shelf_shows_the_newest_model_only(doors: Doors) -> None:
    """An older one is fenced; a touch of what is not shown is behind, so that it is put again."""
    shelf = doors.shelf
    sealed = shelf.seal({"seq": 1}, shelf.dump({"a": "model"}, []).payload)
    assert shelf.touch("0:9", 1) == "behind"
    assert shelf.put("0:9", 1, sealed) == "ok"
    assert shelf.touch("0:9", 2) == "ok"
    assert shelf.put("0:10", 3, sealed) == "ok"
    assert shelf.put("0:9", 4, sealed) == "fenced"
    assert shelf.touch("0:9", 4) == "fenced"
    assert shelf.touch("1:0", 5) == "behind"
    assert shelf.put("1:0", 5, sealed) == "ok"
