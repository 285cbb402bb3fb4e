"""The contract of `SnapshotStore`, for the fake of the scenarios, a directory, and a store of fsspec."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from stream_app.adapters.snapshot_pins import MOST
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.ports import SnapshotStore
from tests.scenario.fake_outside import Store, World
from tests.scenario.shard_driver import application


@pytest.fixture(params=["fake", "directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    """An empty one of shard 0 of an application `a`."""
    if request.param == "fake":
        return Store(World(application()))
    url = str(tmp_path) if request.param == "directory" else f"memory://{uuid4().hex}"
    return FileSnapshots(url, "a", 0, [b"k" * 32])


def save(store: SnapshotStore, epoch: int, seq: int, state: Any, *served: int) -> None:
    """A snapshot of that place; the first of the versions that `served` serves."""
    header: dict[str, Any] = {"app": "a", "shard": 0, "format": 1, "epoch": epoch, "seq": seq}
    header |= {"serving": served[0], "served": list(served)} if served else {}
    assert store.save(header, store.dump(state, []).payload) > 0


def places(store: SnapshotStore) -> list[tuple[int, int]]:
    """(epoch, seq) of all, in the order in which they are tried."""
    return [(header["epoch"], header["seq"]) for header, _ in store.load()]


def test_a_store_begins_empty(store: SnapshotStore) -> None:
    """There is nothing to load, and that is no fault."""
    assert places(store) == []


def test_the_newest_of_the_latest_epoch_comes_first(store: SnapshotStore) -> None:
    """By epoch and number, both as numbers; the state is the one that was saved there."""
    for epoch, seq in ((0, 9), (1, 10), (0, 100)):
        save(store, epoch, seq, {"seq": seq})
    assert places(store) == [(1, 10), (0, 100), (0, 9)]
    assert [load() for _, load in store.load()] == [{"seq": 10}, {"seq": 100}, {"seq": 9}]


def test_a_snapshot_of_the_same_place_replaces_the_one_before(store: SnapshotStore) -> None:
    """As after a recovery that comes to the same batch."""
    for state in ("before", "after"):
        save(store, 0, 1, state)
    assert [load() for _, load in store.load()] == ["after"]


def test_old_ones_go_but_the_first_of_an_epoch_stays(store: SnapshotStore) -> None:
    """An epoch after the first can only be entered through its first snapshot."""
    for epoch, seq in ((0, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)):
        save(store, epoch, seq, seq)
    assert places(store) == [(1, 6), (1, 5), (1, 4), (1, 2)]


def test_what_a_version_ended_behind_stays(store: SnapshotStore) -> None:
    """A swap after batch 2 and the end of version 1 after batch 5: both can be replayed."""
    serving = {1: (1,), 2: (1,), 3: (4, 1), 4: (4, 1), 5: (4, 1), 6: (4,)} | dict.fromkeys(range(7, 10), (4,))
    for seq, served in serving.items():
        save(store, 0, seq, seq, *served)
    assert places(store) == [(0, 9), (0, 8), (0, 7), (0, 5), (0, 2)]


def test_only_the_newest_of_those_stay(store: SnapshotStore) -> None:
    """Each snapshot takes room, so their number has a bound."""
    for seq in range(1, MOST + 9):
        save(store, 0, seq, seq, seq)
    assert [seq for _, seq in places(store)] == list(range(MOST + 8, 4, -1))[: MOST + 1]


def test_what_was_dumped_is_not_changed_by_its_owner(store: SnapshotStore) -> None:
    """A snapshot is of its moment; a round trip gives a copy."""
    state = {"n": [1]}
    copy = store.round_trip(state)
    save(store, 0, 1, state)
    state["n"].append(2)
    assert [load() for _, load in store.load()] == [copy] == [{"n": [1]}]
