"""Signed snapshots on an fsspec file system; the only place that unpickles, and only what is listed here.

File: one line of JSON header, one line with the hex signature of header and payload, the pickle. It is
written under a temporary name, synced, renamed; the newest `KEPT` stay, and those that begin an epoch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import structlog

from stream_app.adapters.pickled import Dump, dump, settle
from stream_app.adapters.signing import public_key, seal, unseal
from stream_app.adapters.unpickler import unpickle
from stream_app.errors import Refused

KEPT = 3
SUFFIX = ".snapshot"
log = structlog.get_logger()


def round_trip(model: Any, own_modules: tuple[str, ...]) -> Any:
    """The model as a snapshot would bring it back; raises what recovery would meet."""
    return unpickle(dump(model), own_modules)


def sealed_opener(
    public: list[bytes], own_modules: tuple[str, ...]
) -> Callable[[bytes], tuple[dict[str, Any], Callable[[], Any]]]:
    """Opens what `seal` made: (header, loader), or ValueError; the loader unpickles and may raise."""

    def open_sealed(sealed: bytes) -> tuple[dict[str, Any], Callable[[], Any]]:
        header, payload = unseal(public, sealed)
        return header, partial(unpickle, payload, own_modules)

    return open_sealed


def write_durably(fs: Any, folder: str, name: str, data: bytes) -> None:
    """A file that is there whole or not at all, whatever dies when."""
    temporary, final = f"{folder}/.{name}.tmp", f"{folder}/{name}"
    local = "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
    fs.makedirs(folder, exist_ok=True)
    with fs.open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        if local:
            os.fsync(file.fileno())
    fs.mv(temporary, final)
    if local:
        descriptor = os.open(Path(folder), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class FileSnapshots:
    """Snapshots of one shard below `url` (a directory or any fsspec URL).

    The first of the private `keys` signs. All of them verify, and so do the `public` ones.
    """

    def __init__(
        self,
        url: str,
        app: str,
        shard: int,
        keys: list[bytes],
        own_modules: tuple[str, ...] = (),
        *,
        public: Sequence[bytes] = (),
    ) -> None:
        self.verifying = [*map(public_key, keys), *public]
        if not self.verifying:
            raise Refused(
                "no signing key is set",
                "Set STREAM_APP_SIGNING__KEYS, on learners; `stream-app keys new` makes a pair",
            )
        self.fs, root = fsspec.core.url_to_fs(url)
        self.folder = f"{root.rstrip('/')}/{app}/{shard}"
        self.app, self.shard, self.keys, self.own_modules = app, shard, keys, own_modules

    def dump(self, whole: Any, models: Iterable[Any]) -> Dump:
        return Dump(whole, models)

    def settle(self, models: Iterable[Any]) -> None:
        settle(models)

    def copy(self, payload: bytes) -> Any:
        """What loading gives of a payload."""
        return unpickle(payload, self.own_modules)

    def round_trip(self, model: Any) -> Any:
        """The model as a snapshot would bring it back."""
        return round_trip(model, self.own_modules)

    def save(self, header: Mapping[str, Any], payload: bytes) -> int:
        """Write one snapshot durably, then let the oldest go; gives its size in bytes."""
        if not self.keys:
            raise Refused("no private signing key is set", "Set STREAM_APP_SIGNING__KEYS, on learners only")
        sealed = seal(self.keys[0], header, payload)
        write_durably(self.fs, self.folder, f"{header['epoch']:06d}-{header['seq']:012d}{SUFFIX}", sealed)
        self.prune()
        return len(sealed)

    def names(self) -> list[str]:
        """File names, newest first; names sort by (epoch, seq)."""
        if not self.fs.exists(self.folder):
            return []
        found = (str(path).rsplit("/", 1)[-1] for path in self.fs.ls(self.folder, detail=False))
        return sorted((name for name in found if name.endswith(SUFFIX)), reverse=True)

    def prune(self) -> None:
        """Keep the newest, and the first of each epoch: it can only be entered through that."""
        names = self.names()
        firsts = {min(name for name in names if name[:6] == epoch) for epoch in {name[:6] for name in names}}
        for name in names[KEPT:]:
            if name not in firsts or name.startswith("000000"):
                self.fs.rm_file(f"{self.folder}/{name}")

    def load(self) -> Iterable[tuple[dict[str, Any], Callable[[], Any]]]:
        """(header, loader) of each file that is whole and ours, newest first; others are told of."""
        for name in self.names():
            try:
                with self.fs.open(f"{self.folder}/{name}", "rb") as file:
                    header, payload = unseal(self.verifying, file.read())
            except (OSError, ValueError) as error:
                log.warning("snapshot passed over", file=name, why=f"unreadable: {error}")
                continue
            belongs = (header.get("app"), header.get("shard"), header.get("format"), header.get("kind"))
            if belongs != (self.app, self.shard, 1, None):  # a published model has a kind
                log.warning("snapshot passed over", file=name, why="it belongs elsewhere")
            else:
                yield header, partial(unpickle, payload, self.own_modules)
