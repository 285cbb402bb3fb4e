"""A backup as a folder of this machine: there whole or not at all, and every byte of it is checked.

    manifest.json         what is in it, and the SHA-256 of each other file
    manifest.sig          signs the manifest, in the form of a snapshot
    snapshots/…           the newest state of each shard, signed
    shard-N/NAME.jsonl    records, one JSON object a line, bytes in base64
    definition/…          the definition's sources, for the reader

It is written below a temporary name beside the folder and renamed at the end. A process that is killed leaves
a folder whose name begins with a dot and ends with `.tmp`; it can be deleted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from stream_app.adapters.durable_files import OWNER_ONLY, OWNER_ONLY_FOLDER, PARTIAL
from stream_app.adapters.signing import seal, unseal
from stream_app.errors import Refused
from topics.envelope import Headers, Record
from topics.specs import TopicSpec

FORMAT = 1
KIND = "backup"  # in the signed header, which distinguishes it from a snapshot
MANIFEST, SIGNATURE, SNAPSHOTS = "manifest.json", "manifest.sig", "snapshots"
CHUNK = 1 << 20
ANOTHER = "Copy it again from where it was made, or use another backup"


class Form(msgspec.Struct):
    """What is the same in every form of a manifest."""

    format: int


class FileEntry(msgspec.Struct):
    """What a file must be."""

    bytes: int
    sha256: str


class ShardEntry(msgspec.Struct):
    """One shard of a backup: the batch that its state is of, where the inputs go on, and how much there is.

    `journal_offset` and `positions` are offsets of the topics that were backed up. `journal` counts records
    since the snapshot that the replay began with, `unread` those of the inputs that no batch has read.
    """

    shard: int
    epoch: int
    seq: int
    digest: str
    journal_offset: int
    positions: dict[str, int]
    state_bytes: int
    journal: int
    receipts: int
    unread: dict[str, int]
    counts: dict[str, int]


class Manifest(msgspec.Struct):
    """What is in a backup; `definition` is the short hash that statistics show, `fingerprint` the whole."""

    format: int
    backup_id: str
    app: str
    made_ms: int
    definition: str
    fingerprint: dict[str, Any]
    topics: list[TopicSpec]
    shards: list[ShardEntry]
    files: dict[str, FileEntry] = {}


class Line(msgspec.Struct, omit_defaults=True):
    """A record in a file."""

    offset: int
    time_ms: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers | None = None


class BackupWriter:
    """Writes a backup; a context manager, which removes what it wrote unless `finish` was called.

    Raises:
        Refused: the folder exists and is not empty, or cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        check_free(self.folder)
        self.path = self.folder.with_name(f".{self.folder.name}.{token_hex(4)}{PARTIAL}")
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=OWNER_ONLY_FOLDER)
        except OSError as error:
            raise Refused(f"{self.folder} cannot be made ({error})", "Name another folder") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def snapshots(self) -> str:
        """Where the snapshot store of the backup is."""
        return str(self.path / SNAPSHOTS)

    def create(self, name: str) -> IO[bytes]:
        """Open a new file for writing."""
        place = self.path / name
        place.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        return os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb")

    def write(self, name: str, data: bytes) -> None:
        """Write one file."""
        with self.create(name) as file:
            file.write(data)

    def write_records(self, name: str, records: Iterable[Record]) -> int:
        """Write records as they come, and count them."""
        encode, n = msgspec.json.Encoder().encode, 0
        with self.create(name) as file:
            for n, record in enumerate(records, 1):  # noqa: B007  it is the count
                line = Line(record.offset, record.time_ms, record.key, record.value, record.headers)
                file.write(encode(line) + b"\n")
        return n

    def finish(self, manifest: Manifest, private: bytes) -> None:
        """Sign what was written and give it its name.

        Raises:
            Refused: meanwhile the folder is no longer empty.
        """
        files = sorted(path for path in self.path.rglob("*") if path.is_file())
        manifest.files = {path.relative_to(self.path).as_posix(): entry_of(path, sync=True) for path in files}
        encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        self.write(MANIFEST, encoded)
        self.write(SIGNATURE, seal(private, {"kind": KIND, "sha256": sha256(encoded).hexdigest()}, b""))
        for path in (MANIFEST, SIGNATURE):
            sync_path(self.path / path)
        for folder in (*(path for path in self.path.rglob("*") if path.is_dir()), self.path):
            sync_path(folder)
        check_free(self.folder)
        self.path.rename(self.folder)
        sync_path(self.folder.parent)


class BackupFolder:
    """Reads a backup; a key of `public` must have signed it.

    Raises:
        Refused: the folder holds no backup, or one that is damaged, of another form or of unknown origin.
    """

    def __init__(self, folder: Path, public: Sequence[bytes]) -> None:
        self.path = folder.expanduser().absolute()
        try:
            encoded, signature = ((self.path / name).read_bytes() for name in (MANIFEST, SIGNATURE))
        except OSError as error:
            raise Refused(
                f"{folder} holds no backup ({error.strerror}: {Path(error.filename).name})",
                "Name a folder that `stream-app backup` has written",
            ) from error
        try:
            header, _ = unseal(public, signature)
        except ValueError as error:
            raise Refused(
                f"the backup in {folder} cannot be trusted: {error}",
                "Set STREAM_APP_SIGNING__KEYS, or …PUBLIC_KEYS, to those of the learners that were backed up."
                " If they are set, the backup is damaged: copy it again, or use another one",
            ) from error
        if header != {"kind": KIND, "sha256": sha256(encoded).hexdigest()}:
            raise damaged(folder, MANIFEST)
        form = msgspec.json.decode(encoded, type=Form).format
        if form != FORMAT:
            raise Refused(
                f"the backup in {folder} has the form {form}, this version reads {FORMAT}",
                "Restore with the version that made it, then upgrade",
            )
        self.manifest = msgspec.json.decode(encoded, type=Manifest)

    @property
    def snapshots(self) -> str:
        """Where the snapshot store of the backup is."""
        return str(self.path / SNAPSHOTS)

    def check(self, progress: Any = lambda _name: None) -> None:
        """Compare every file with the manifest.

        Raises:
            Refused: one is missing or damaged.
        """
        for name, entry in self.manifest.files.items():
            progress(name)
            try:
                found = entry_of(self.path / name)
            except OSError:
                found = None
            if found != entry:
                raise damaged(self.path, name)

    def records(self, name: str, rank: int) -> Iterator[Record]:
        """The records of a file, in order."""
        decode = msgspec.json.Decoder(Line).decode
        with (self.path / name).open("rb") as file:
            for text in file:
                line = decode(text)
                yield Record(rank, line.offset, line.time_ms, line.key, line.value, line.headers)


def check_free(folder: Path) -> None:
    """Refuse a place where something is.

    Raises:
        Refused: always in that case; an empty folder is taken.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise Refused(f"{folder} exists and is not an empty folder", "Name a folder that does not exist yet")


def entry_of(path: Path, *, sync: bool = False) -> FileEntry:
    """Hash a file; with `sync` it is on the disk then."""
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
        if sync:
            os.fsync(file.fileno())
    return FileEntry(size, digest.hexdigest())


def sync_path(path: Path) -> None:
    """Write a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def damaged(folder: Path, name: str) -> Refused:
    """The error about a file that is not as it was written."""
    return Refused(f"the backup in {folder} is damaged: {name} is missing, or not as it was written", ANOTHER)
