"""Signed snapshots on an fsspec file system; the only place that unpickles, and only what is listed here.

File: one line of JSON header, one line with the hex HMAC-SHA256 over header and payload, the pickle. It is
written under a temporary name, synced, renamed; the newest `KEPT` stay, and those that begin an epoch.
"""

from __future__ import annotations

import hmac
import io
import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import orjson
import structlog

from stream_app.adapters.set_order import SetsInOrder
from stream_app.adapters.unpickler import unpickle
from stream_app.errors import Refused

KEPT = 3
SUFFIX = ".snapshot"
log = structlog.get_logger()


def dump(obj: Any) -> bytes:
    """A pickle that `unpickle` reads.

    Raises:
        PicklingError, Unrepeatable, …: something in it cannot be stored.
    """
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=5)
    pickler.persistent_id = SetsInOrder().persistent_id  # type: ignore[method-assign]  # a setting, says pickle
    pickler.dump(obj)
    return file.getvalue()


def round_trip(model: Any, own_modules: tuple[str, ...]) -> Any:
    """The model as a snapshot would bring it back; raises what recovery would meet."""
    return unpickle(dump(model), own_modules)


def seal(key: bytes, header: Mapping[str, Any], payload: bytes) -> bytes:
    """One line of JSON header, one line with the signature over header and payload, the payload."""
    head = orjson.dumps(header)
    return b"\n".join((head, signature(key, head, payload), payload))


def unseal(keys: list[bytes], sealed: bytes) -> tuple[dict[str, Any], bytes]:
    """(header, payload) of what any of the keys signed.

    Raises:
        ValueError: torn, or signed by another key; nothing of it may be used.
    """
    head, mac, payload = sealed.split(b"\n", 2)
    if not any(hmac.compare_digest(signature(key, head, payload), mac) for key in keys):
        raise ValueError("its signature is not by any of our keys")
    return orjson.loads(head), payload


def sealed_opener(
    keys: list[bytes], own_modules: tuple[str, ...]
) -> Callable[[bytes], tuple[dict[str, Any], Callable[[], Any]]]:
    """Opens what `seal` made: (header, loader), or ValueError; the loader unpickles and may raise."""

    def open_sealed(sealed: bytes) -> tuple[dict[str, Any], Callable[[], Any]]:
        header, payload = unseal(keys, sealed)
        return header, partial(unpickle, payload, own_modules)

    return open_sealed


def signature(key: bytes, head: bytes, payload: bytes) -> bytes:
    """HMAC-SHA256 in hex."""
    mac = hmac.new(key, head, sha256)
    mac.update(b"\n")
    mac.update(payload)
    return mac.hexdigest().encode()


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
    """Snapshots of one shard below `url` (a directory or any fsspec URL); the first key signs, all verify."""

    def __init__(
        self, url: str, app: str, shard: int, keys: list[bytes], own_modules: tuple[str, ...] = ()
    ) -> None:
        if not keys:
            raise Refused(
                "no signing key is set", "Set STREAM_APP_SIGNING__KEYS to a list with a random secret"
            )
        self.fs, root = fsspec.core.url_to_fs(url)
        self.folder = f"{root.rstrip('/')}/{app}/{shard}"
        self.app, self.shard, self.keys, self.own_modules = app, shard, keys, own_modules

    def dump(self, state: Any) -> bytes:
        return dump(state)

    def round_trip(self, model: Any) -> Any:
        """The model as a snapshot would bring it back."""
        return round_trip(model, self.own_modules)

    def save(self, header: Mapping[str, Any], payload: bytes) -> int:
        """Write one snapshot durably, then let the oldest go; gives its size in bytes."""
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
                    header, payload = unseal(self.keys, file.read())
            except (OSError, ValueError) as error:
                log.warning("snapshot passed over", file=name, why=f"unreadable: {error}")
                continue
            if (header.get("app"), header.get("shard"), header.get("format")) != (self.app, self.shard, 1):
                log.warning("snapshot passed over", file=name, why="it belongs elsewhere")
            else:
                yield header, partial(unpickle, payload, self.own_modules)
