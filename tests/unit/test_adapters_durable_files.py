"""Files of a shard: whole, private, one life beside another, and three answers where one is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from stream_app.adapters.durable_files import ShardFiles, write_durably
from stream_app.adapters.snapshot_store import KEPT, FileSnapshots
from stream_app.errors import Unreachable

KEY = b"k" * 32


def store(path: Path, life: str) -> FileSnapshots:
    """One shard's snapshots as a learner of that life sees them."""
    return FileSnapshots(str(path), "a", 0, [KEY], (), life)


def save(to: FileSnapshots, *seqs: int, epoch: int = 0) -> None:
    """Save empty states."""
    for seq in seqs:
        head = {"format": 1, "app": "a", "shard": 0, "epoch": epoch, "seq": seq, "life": to.life}
        to.save(head, to.dump({}, []).payload)


def seqs(of: FileSnapshots) -> list[int]:
    """What may be loaded, newest first."""
    return [head["seq"] for head, _ in of.load()]


def test_one_life_neither_prunes_nor_sees_what_another_wrote(tmp_path: Path) -> None:
    """Larger numbers of an earlier life push nothing out, and larger ones of this life push out none."""
    old, new = store(tmp_path, "aa"), store(tmp_path, "bb")
    save(old, 4000, 5000, 6000)
    save(new, 100, 200, 300, 400)
    assert seqs(new) == [400, 300, 200]
    save(new, 7000, 8000, 9000)
    assert seqs(new) == [9000, 8000, 7000]
    assert seqs(old) == [6000, 5000, 4000]
    assert new.left_over() == old.names()


def test_what_was_just_written_stays_whatever_its_number(tmp_path: Path) -> None:
    """Beside files of the same life that a restored journal no longer confirms."""
    save(store(tmp_path, "aa"), 4000, 5000, 6000)
    again = store(tmp_path, "aa")
    save(again, 100, 200, 300, 400)
    assert seqs(again) == [6000, 5000, 4000, 400, 300, 200]


def test_files_of_earlier_releases_name_no_life_and_are_still_seen(tmp_path: Path) -> None:
    """The journal decides whether they are of this life; nothing removes them."""
    store(tmp_path, "").save({"format": 1, "app": "a", "shard": 0, "epoch": 0, "seq": 7}, b"\x80\x04N.")
    new = store(tmp_path, "bb")
    save(new, 8, 9, 10, 11)
    assert seqs(new) == [11, 10, 9, 7]
    assert new.left_over() == []


def test_files_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    """Under any umask; folders that were there keep their permissions."""
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        save(store(tmp_path / "made" / "here", "aa"), 1)
    finally:
        os.umask(before)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in (tmp_path / "made").rglob("*")}
    assert modes == {True: 0o700, False: 0o600}


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a part of a file nor a name, at whatever step it fails."""
    fs = LocalFileSystem()

    def fails(*_: Any) -> None:
        raise OSError(28, "no space left")

    for place, name in ((fs, "mv"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fails)
            with pytest.raises(OSError, match="no space left"):
                write_durably(fs, str(tmp_path), "whole", b"data")
        assert list(tmp_path.iterdir()) == []


def test_what_a_dead_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """Partial files go, also those of earlier releases and of published models."""
    snapshots = store(tmp_path, "aa")
    save(snapshots, 1)
    folder = Path(snapshots.folder)
    for left in (".000000-000000000002.snapshot.tmp", ".000000-000000000003-aa.model.1f.tmp"):
        (folder / left).write_bytes(b"part")
    (folder / "notes.tmp").write_bytes(b"a person's")
    snapshots.tidy()
    assert sorted(path.name for path in folder.iterdir()) == [*snapshots.names(), "notes.tmp"]
    store(tmp_path / "nowhere", "aa").tidy()


AWAY = [TimeoutError("no answer"), PermissionError("denied"), OSError(5, "broken"), RuntimeError("its own")]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("call", ["ls", "open"])
def test_a_store_that_gives_no_answer_is_not_an_empty_one(
    error: Exception, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither listing nor reading takes an error for an absent or a damaged file."""
    snapshots = store(tmp_path, "aa")
    save(snapshots, 1)

    def away(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(snapshots.files.fs, call, away)
    with pytest.raises(Unreachable, match=type(error).__name__):
        seqs(snapshots)


def test_what_is_absent_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is no snapshots; a file that goes between listing and reading is passed over."""
    snapshots = store(tmp_path, "aa")
    assert (seqs(snapshots), snapshots.left_over()) == ([], [])
    save(snapshots, 1, 2)
    names = snapshots.names()
    (Path(snapshots.folder) / names[0]).unlink()
    monkeypatch.setattr(snapshots, "names", lambda: names)
    assert seqs(snapshots) == [1]


def test_a_snapshot_that_is_written_is_saved_though_old_ones_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take room, no more."""
    snapshots = store(tmp_path, "aa")
    save(snapshots, *range(1, KEPT + 1))

    def denied(*_: Any) -> None:
        raise PermissionError("denied")

    with monkeypatch.context() as patch:
        patch.setattr(snapshots.files.fs, "rm_file", denied)
        save(snapshots, KEPT + 1)
    assert len(seqs(snapshots)) == KEPT + 1
    save(snapshots, KEPT + 2)
    assert len(seqs(snapshots)) == KEPT


def test_models_of_another_life_stay(tmp_path: Path) -> None:
    """Of this life only those that were written last do."""
    old = ShardFiles(str(tmp_path), "a", 0, ".model", 2)
    old.write(old.name(9, 9, "aa"), b"old")
    new = ShardFiles(str(tmp_path), "a", 0, ".model", 2)
    for seq in range(4):
        new.write(new.name(0, seq, "bb"), b"new")
    new.prune("bb", epochs=False)
    assert new.names() == [new.name(9, 9, "aa"), new.name(0, 3, "bb"), new.name(0, 2, "bb")]
