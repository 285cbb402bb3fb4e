"""A shard's files on an fsspec file system: there whole or not at all, and private where it is local.

Three answers are kept apart: absent (FileNotFoundError, an empty list), damaged (the reader of the bytes
finds that out) and unreachable (`Unreachable`: nothing is known, ask again).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import fsspec
import structlog

from stream_app.errors import Unreachable
from topics.batch_id import BatchId

PARTIAL = ".tmp"  # the end of a name while its file is being written; it begins with a dot
OWNER_ONLY, OWNER_ONLY_FOLDER = 0o600, 0o700  # models and waiting rows hold personal data
FIRST_EPOCH = "000000"
REMEDY = "Bring it back, or correct its address or permissions; it is asked again until it answers"
log = structlog.get_logger()


class ShardFiles:
    """Files `<epoch>-<seq>-<life><suffix>` of one shard below `url`, a directory or any fsspec URL.

    Names sort by (epoch, seq) within one life: what another life wrote is never removed. Files of earlier
    releases name no life.
    """

    def __init__(self, url: str, app: str, shard: int, suffix: str, kept: int) -> None:
        self.fs, root = fsspec.core.url_to_fs(url)
        self.folder = f"{root.rstrip('/')}/{app}/{shard}"
        self.suffix, self.kept = suffix, kept
        self.written: list[str] = []  # by this process, newest last

    def name(self, epoch: int, seq: int, life: str) -> str:
        return f"{epoch:06d}-{seq:012d}{f'-{life}' if life else ''}{self.suffix}"

    def life_in(self, name: str) -> str:
        """The life that a name says, empty where it says none."""
        return name.removesuffix(self.suffix).partition("-")[2].partition("-")[2]

    def batch_in(self, name: str) -> BatchId | None:
        """The batch that a name says; None for a name that no writer gives."""
        epoch, seq = [*name.removesuffix(self.suffix).split("-"), "", ""][:2]
        return BatchId(int(epoch), int(seq)) if epoch.isdecimal() and seq.isdecimal() else None

    def names(self) -> list[str]:
        """List the file names of every life, newest first.

        Raises:
            Unreachable: the store gives no answer.
        """
        found = (name for name in list_names(self.fs, self.folder) if name.endswith(self.suffix))
        return sorted(found, reverse=True)

    def read(self, name: str) -> bytes:
        """A file's bytes; raises as `read_whole`."""
        return read_whole(self.fs, f"{self.folder}/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Write one file durably; raises what the file system raises."""
        write_durably(self.fs, self.folder, name, data)
        self.written = [*self.written, name][-self.kept :]

    def prune(self, life: str, *, epochs: bool, also: Collection[str] = ()) -> None:
        """Remove files of one life but what this process wrote last and `also`; with `epochs`, keep the
        newest and each later epoch's first, which alone leads into it. What cannot be removed takes room, no
        more.
        """
        try:
            names = [name for name in self.names() if self.life_in(name) == life]
            kept = {*self.written, *also, *(names[: self.kept] if epochs else ())}
            if epochs:
                begun = {name[: len(FIRST_EPOCH)] for name in names} - {FIRST_EPOCH}
                kept |= {min(name for name in names if name.startswith(epoch)) for epoch in begun}
            for name in names:
                if name not in kept:
                    self.fs.rm_file(f"{self.folder}/{name}")
        except Exception as error:  # noqa: BLE001  # each store has errors of its own
            log.warning("old files could not be removed", folder=self.folder, error=str(error))


def is_local(fs: Any) -> bool:
    """Whether a file system is this machine's own."""
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def write_durably(fs: Any, folder: str, name: str, data: bytes) -> None:
    """Write a file that is there whole or not at all, whatever dies when.

    Raises: what the file system raises; nothing is left behind then.
    """
    temporary, final, local = f"{folder}/.{name}.{token_hex(4)}{PARTIAL}", f"{folder}/{name}", is_local(fs)
    make_folder(fs, folder)
    try:
        with create(fs, temporary) as file:
            file.write(data)
            file.flush()
            if local:
                os.fsync(file.fileno())
        fs.mv(temporary, final)
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            fs.rm_file(temporary)
        raise
    if local:
        descriptor = os.open(Path(folder), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(fs: Any, folder: str) -> None:
    """Create what is missing of a folder's path; folders that exist keep their permissions."""
    if not is_local(fs):
        fs.makedirs(folder, exist_ok=True)
        return
    missing = [place for place in (Path(folder), *Path(folder).parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)


def create(fs: Any, path: str) -> Any:
    """Open a new file for writing."""
    if not is_local(fs):
        return fs.open(path, "wb")
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb")


def list_names(fs: Any, folder: str) -> list[str]:
    """The names of a folder's files, partial ones too; none where the folder is absent.

    Raises:
        Unreachable: the file system gives no answer.
    """
    try:
        fs.invalidate_cache(folder)  # others write there as well
        return [str(path).rsplit("/", 1)[-1] for path in fs.ls(folder, detail=False)]
    except (FileNotFoundError, NotADirectoryError):  # below a file there is nothing
        return []
    except Exception as error:  # each store has errors of its own
        raise unreachable(folder, error) from error


def read_whole(fs: Any, path: str) -> bytes:
    """A file's bytes.

    Raises:
        FileNotFoundError: it is absent.
        Unreachable: the file system gives no answer.
    """
    try:
        with fs.open(path, "rb") as file:
            data: bytes = file.read()
            return data
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:
        raise unreachable(path, error) from error


def remove_partial(fs: Any, folder: str) -> None:
    """Remove what a process left behind that ended while it wrote.

    Raises:
        Unreachable: the file system gives no answer.
    """
    for name in list_names(fs, folder):
        if name.startswith(".") and name.endswith(PARTIAL):
            try:
                with suppress(FileNotFoundError):
                    fs.rm_file(f"{folder}/{name}")
            except Exception as error:
                raise unreachable(folder, error) from error


def unreachable(place: str, error: Exception) -> Unreachable:
    """The answer for anything that is neither the file nor its absence."""
    text = f"the snapshot store gives no answer for {place} ({type(error).__name__}: {error})"
    return Unreachable(text, REMEDY)
