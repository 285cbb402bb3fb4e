"""Which snapshots stay for versions that have ended, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_app.adapters.snapshot_pins import DAY_MS, SUFFIX
from stream_app.adapters.snapshot_store import FileSnapshots
from topics.batch_id import BatchId

KEY = b"k" * 32


class Store:
    """One shard's snapshots and a clock; the versions that serve are those given."""

    def __init__(self, path: Path, days: float = 7.0, most: int = 8) -> None:
        self.path, self.days, self.most, self.now_ms = path, days, most, DAY_MS * 1_000
        self.open()

    def open(self) -> None:
        """As another process opens it."""
        self.files = FileSnapshots(
            str(self.path), "a", 0, [KEY], (), "aa",
            versions=self.most, versions_days=self.days, now_ms=lambda: self.now_ms,
        )  # fmt: skip

    def save(self, seqs: list[int], *served: int) -> None:
        """Save empty states in which the first of these versions serves."""
        for seq in seqs:
            head: dict[str, Any] = {"format": 1, "app": "a", "shard": 0, "epoch": 0, "seq": seq, "life": "aa"}
            head |= {"serving": served[0], "served": list(served)}
            self.files.save(head, self.files.dump({}, []).payload)

    def kept(self) -> list[int]:
        """Which stay, oldest first."""
        return sorted(head["seq"] for head, _ in self.files.load())

    def notes(self) -> list[str]:
        """The notes that lie beside them."""
        return sorted(path.name for path in Path(self.files.folder).glob(f"*{SUFFIX}"))


def test_a_snapshot_stays_as_long_as_is_set(tmp_path: Path) -> None:
    """Then it goes, and its note with it."""
    store = Store(tmp_path, days=2.0)
    store.save([1, 2], 1)
    store.save([3, 4, 5, 6], 4, 1)
    assert store.kept() == [2, 4, 5, 6]
    store.now_ms += DAY_MS
    store.save([7], 4, 1)
    assert store.kept() == [2, 5, 6, 7]
    store.now_ms += DAY_MS + 1
    store.save([8], 4, 1)
    assert (store.kept(), store.notes()) == ([6, 7, 8], [])


def test_another_process_finds_out_too(tmp_path: Path) -> None:
    """The snapshot before its first one was saved by a process that is gone."""
    store = Store(tmp_path)
    store.save([1], 1)
    store.open()
    store.save([2, 3, 4, 5], 4)
    assert store.kept() == [1, 3, 4, 5]


def test_none_stay_where_none_are_asked_for(tmp_path: Path) -> None:
    """`STREAM_APP_SNAPSHOTS__VERSIONS=0`."""
    store = Store(tmp_path, most=0)
    for version in (1, 2, 3, 4, 5, 6):
        store.save([version], version)
    assert (store.kept(), store.notes()) == ([4, 5, 6], [])


def test_a_note_that_cannot_be_read_counts_as_old(tmp_path: Path) -> None:
    """A person who edits one loses a snapshot that recovery does not need."""
    store = Store(tmp_path)
    store.save([1, 2], 1)
    store.save([3, 4, 5], 4)
    (note,) = store.notes()
    (Path(store.files.folder) / note).write_bytes(b"{")
    store.save([6], 4)
    assert (store.kept(), store.notes()) == ([4, 5, 6], [])


def test_nothing_is_removed_while_notes_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot itself is saved; what stays takes room, no more."""
    store = Store(tmp_path)
    store.save([1, 2, 3], 1)

    def full(*_: Any) -> None:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(store.files.pins, "note", full)
        store.save([4], 4)
    assert store.kept() == [1, 2, 3, 4]


def test_the_snapshot_before_a_batch_is_found_by_its_name(tmp_path: Path) -> None:
    """The newest of the same epoch; without a batch the newest of all."""
    store = Store(tmp_path)
    store.save([10, 20, 30], 1)
    found = [store.files.before(batch) for batch in (None, BatchId(0, 30), BatchId(0, 5), BatchId(1, 90))]
    assert [name and name.split("-")[1] for name in found] == ["000000000030", "000000000020", None, None]
