"""A backup's folder is whole or absent, and a byte that changes is found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.adapters.backup_folder import (
    FORMAT,
    MANIFEST,
    SIGNATURE,
    BackupFolder,
    BackupWriter,
    Manifest,
)
from stream_app.adapters.signing import public_key
from stream_app.errors import Refused
from topics.envelope import EVENT, Record
from topics.specs import TopicSpec

PRIVATE = b"k" * 32
PUBLIC = [public_key(PRIVATE)]
RECORDS = [
    Record(EVENT, 7, 1_700_000_000_000, b"key", b'{"v": 1}', [("h", b"\xff\x00"), ("none", None)]),
    Record(EVENT, 9, 1, None, None, None),
    Record(EVENT, 10, 0, b"\xfe", b"\n\n", None),
]


def manifest(**changed: Any) -> Manifest:
    """One that names no shard."""
    topics = [TopicSpec("a.events", 2, 1, {"retention.ms": "-1"})]
    return msgspec.structs.replace(
        Manifest(FORMAT, "b1", "a", 1, "0" * 16, {"python": "3"}, topics, []), **changed
    )


def written(folder: Path, **changed: Any) -> Path:
    """A whole backup."""
    with BackupWriter(folder) as writer:
        assert writer.write_records("shard-0/events.jsonl", RECORDS) == len(RECORDS)
        assert writer.write_records("shard-0/labels.jsonl", []) == 0
        writer.write("definition/it.py", b"app = 1\n")
        writer.finish(manifest(**changed), PRIVATE)
    return folder


def fields(record: Record) -> tuple[Any, ...]:
    """A record's content; records compare by identity."""
    return record.rank, record.offset, record.time_ms, record.key, record.value, record.headers


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    """Records with every form of key, value and header, the manifest, and no file that others may read."""
    found = BackupFolder(written(tmp_path / "new" / "b"), PUBLIC)
    found.check()
    assert [fields(one) for one in found.records("shard-0/events.jsonl", EVENT)] == list(map(fields, RECORDS))
    assert list(found.records("shard-0/labels.jsonl", EVENT)) == []
    assert set(found.manifest.files) == {"shard-0/events.jsonl", "shard-0/labels.jsonl", "definition/it.py"}
    assert found.manifest.topics == manifest().topics
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b"]
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "new" / "b").rglob("*")} == {0}


def test_a_backup_that_is_cut_off_leaves_no_folder(tmp_path: Path) -> None:
    """Whatever ends it; an empty folder that was there stays as it was."""

    def cut_off() -> None:
        with BackupWriter(tmp_path / "b") as writer:
            writer.write("definition/it.py", b"")
            assert not list((tmp_path / "b").iterdir())
            raise KeyboardInterrupt

    (tmp_path / "b").mkdir()
    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert list(tmp_path.rglob("*")) == [tmp_path / "b"]
    written(tmp_path / "b")
    BackupFolder(tmp_path / "b", PUBLIC).check()


@pytest.mark.parametrize("file", [False, True])
def test_a_folder_in_which_something_is_is_refused(tmp_path: Path, *, file: bool) -> None:
    """Before anything is written, and again before the name is given."""
    place = tmp_path / "b"
    with BackupWriter(place) as writer:
        if file:
            place.write_text("")
        else:
            written(place)
        with pytest.raises(Refused, match="exists and is not an empty folder"):
            writer.finish(manifest(), PRIVATE)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Refused, match="exists and is not an empty folder"):
        BackupWriter(place)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_byte_that_changes_is_found(tmp_path: Path) -> None:
    """In each file, at any place, and so is a file that is missing."""
    folder = written(tmp_path / "b")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1} if whole else ():
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            said = "cannot be trusted" if path.name == SIGNATURE else f"is damaged: .*{path.name}"
            with pytest.raises(Refused, match=said):
                BackupFolder(folder, PUBLIC).check()
        path.unlink()
        with pytest.raises(Refused, match=re.escape(path.name)):
            BackupFolder(folder, PUBLIC).check()
        path.write_bytes(whole)
    BackupFolder(folder, PUBLIC).check()


def test_other_folders_keys_and_forms_are_refused(tmp_path: Path) -> None:
    """Each with its reason; no backup is read that no known key has signed."""
    with pytest.raises(Refused, match="holds no backup"):
        BackupFolder(tmp_path, PUBLIC)
    folder = written(tmp_path / "b")
    for keys in ([], [public_key(b"o" * 32)]):
        with pytest.raises(Refused, match="cannot be trusted: its signature is not by any of our keys"):
            BackupFolder(folder, keys)
    later = written(tmp_path / "later", format=FORMAT + 1)
    with pytest.raises(Refused, match=f"has the form {FORMAT + 1}, this version reads {FORMAT}"):
        BackupFolder(later, PUBLIC)
    (folder / SIGNATURE).write_bytes((later / SIGNATURE).read_bytes())
    with pytest.raises(Refused, match=f"is damaged: {MANIFEST}"):
        BackupFolder(folder, PUBLIC)
