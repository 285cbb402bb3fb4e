"""Signed snapshots on an fsspec file system; the only place that unpickles, and only what the allow-list names.

File: one line of JSON header, one line with the hex HMAC-SHA256 over header and payload, the pickle. Written under a
temporary name, synced, renamed; the newest `KEPT` stay, and those that begin an epoch.
"""

from __future__ import annotations

import hmac
import io
import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import orjson
import structlog

from stream_app.errors import Refused

KEPT = 3
SUFFIX = ".snapshot"
# Everything of these may be rebuilt from a pickle; of the rest only the names below.
MODULES = ("river", "stream_app", "topics", "drift", "numpy", "scipy", "sortedcontainers")
NAMES = {
    "builtins": {
        "set", "frozenset", "complex", "slice", "range", "bytearray", "object", "dict", "list", "tuple", "int", "float",
        "bool", "str", "bytes", "getattr",
    },
    "collections": {"deque", "OrderedDict", "defaultdict", "Counter", "ChainMap"},
    "functools": {"partial"},
    "copyreg": {"_reconstructor"},
    "datetime": {"datetime", "date", "timedelta", "timezone"},
    "random": {"Random"},
    "math": {"exp", "log", "sqrt", "tanh"},
    "operator": {"itemgetter", "attrgetter"},
    "itertools": {"count"},
    "_codecs": {"encode"},
    "statistics": {"mean", "median"},
}  # fmt: skip
log = structlog.get_logger()


class AllowedUnpickler(pickle.Unpickler):
    """Refuses every name outside the allow-list and the definition's own modules."""

    def __init__(self, file: io.BytesIO, own_modules: tuple[str, ...]) -> None:
        super().__init__(file)
        self.own_modules = own_modules

    def find_class(self, module: str, name: str) -> Any:
        root = module.split(".", maxsplit=1)[0]
        if root in MODULES or module in self.own_modules or name in NAMES.get(module, ()):
            if module == "builtins" and name == "getattr":
                return safe_getattr
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not on the allow-list of snapshots")


def safe_getattr(owner: Any, name: str) -> Any:
    """What pickle needs of getattr: a method of an allowed class by its public name."""
    if name.startswith("__"):
        raise pickle.UnpicklingError(f"attribute {name} may not be reached from a snapshot")
    return getattr(owner, name)


def round_trip(model: Any, own_modules: tuple[str, ...]) -> Any:
    """The model as a snapshot would bring it back; raises what recovery would meet."""
    return AllowedUnpickler(io.BytesIO(pickle.dumps(model, protocol=5)), own_modules).load()


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
        return pickle.dumps(state, protocol=5)

    def save(self, header: Mapping[str, Any], payload: bytes) -> int:
        """Write one snapshot durably, then let the oldest go; gives its size in bytes."""
        head = orjson.dumps(header)
        mac = self.sign(self.keys[0], head, payload).encode()
        name = f"{header['epoch']:06d}-{header['seq']:012d}{SUFFIX}"
        temporary, final = f"{self.folder}/.{name}.tmp", f"{self.folder}/{name}"
        self.fs.makedirs(self.folder, exist_ok=True)
        with self.fs.open(temporary, "wb") as file:
            file.write(head + b"\n" + mac + b"\n" + payload)
            file.flush()
            if self.local:
                os.fsync(file.fileno())
        self.fs.mv(temporary, final)
        if self.local:
            folder = os.open(Path(self.folder), os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self.prune()
        return len(head) + len(mac) + len(payload) + 2

    @property
    def local(self) -> bool:
        return "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    def names(self) -> list[str]:
        """File names, newest first; names sort by (epoch, seq)."""
        if not self.fs.exists(self.folder):
            return []
        found = (str(path).rsplit("/", 1)[-1] for path in self.fs.ls(self.folder, detail=False))
        return sorted((name for name in found if name.endswith(SUFFIX)), reverse=True)

    def prune(self) -> None:
        """Keep the newest ones, and the first of each epoch: an epoch can only be entered through its snapshot."""
        names = self.names()
        firsts = {min(name for name in names if name[:6] == epoch) for epoch in {name[:6] for name in names}}
        for name in names[KEPT:]:
            if name not in firsts or name.startswith("000000"):
                self.fs.rm_file(f"{self.folder}/{name}")

    def load(self) -> Iterable[tuple[dict[str, Any], Callable[[], Any]]]:
        """(header, loader) of each file that is whole and ours, newest first; what is not is passed over, and told."""
        for name in self.names():
            try:
                with self.fs.open(f"{self.folder}/{name}", "rb") as file:
                    head, mac, payload = file.read().split(b"\n", 2)
                signed = any(
                    hmac.compare_digest(self.sign(key, head, payload).encode(), mac) for key in self.keys
                )
                header = orjson.loads(head) if signed else {}
            except (OSError, ValueError) as error:
                log.warning("snapshot passed over", file=name, why=f"unreadable: {error}")
                continue
            if not signed:
                log.warning("snapshot passed over", file=name, why="its signature is not by any of our keys")
            elif (header.get("app"), header.get("shard"), header.get("format")) != (self.app, self.shard, 1):
                log.warning("snapshot passed over", file=name, why="it belongs elsewhere")
            else:
                yield (
                    header,
                    lambda payload=payload: AllowedUnpickler(io.BytesIO(payload), self.own_modules).load(),
                )

    def sign(self, key: bytes, head: bytes, payload: bytes) -> str:
        mac = hmac.new(key, head, sha256)
        mac.update(b"\n")
        mac.update(payload)
        return mac.hexdigest()
