"""Signed snapshots on an fsspec file system; the only place that unpickles, and only what is listed here.

File: one line of JSON header, one line with the hex signature of header and payload, the pickle. It is
written under a temporary name, synced, renamed; of its life the newest `KEPT` stay, what begins an epoch, and
what versions that have ended can be had back from (`snapshot_pins`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.durable_files import ShardFiles, remove_partial
from stream_app.adapters.pickled import Dump, dump, refill_sets
from stream_app.adapters.signing import public_key, seal, unseal
from stream_app.adapters.snapshot_pins import DAYS, MOST, Pins
from stream_app.adapters.unpickler import unpickle
from stream_app.errors import Refused
from topics.batch_id import BatchId

KEPT = 3
SUFFIX = ".snapshot"
WALL = SystemClock()
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


class FileSnapshots:
    """Snapshots of one shard below `url` (a directory or any fsspec URL).

    The first of the private `keys` signs. All of them verify, and so do the `public` ones. With a `life`,
    files of other lives are not seen. Listing and reading raise Unreachable where the store gives no answer.
    For versions that ended, up to `versions` snapshots stay for `versions_days`.
    """

    def __init__(
        self,
        url: str,
        app: str,
        shard: int,
        keys: list[bytes],
        own_modules: tuple[str, ...] = (),
        life: str = "",
        *,
        public: Sequence[bytes] = (),
        versions: int = MOST,
        versions_days: float = DAYS,
        now_ms: Callable[[], int] = WALL.now_ms,
    ) -> None:
        self.verifying = [*map(public_key, keys), *public]
        if not self.verifying:
            raise Refused(
                "no signing key is set",
                "Set STREAM_APP_SIGNING__KEYS, on learners; `stream-app keys new` makes a pair",
            )
        self.files = ShardFiles(url, app, shard, SUFFIX, KEPT)
        self.folder = self.files.folder
        self.pins = Pins(self.files, versions, versions_days, self.header_of, now_ms)
        self.app, self.shard, self.keys, self.own_modules, self.life = app, shard, keys, own_modules, life

    def dump(self, whole: Any, models: Iterable[Any]) -> Dump:
        return Dump(whole, models)

    def refill_sets(self, models: Iterable[Any]) -> None:
        refill_sets(models)

    def copy(self, payload: bytes) -> Any:
        """What loading gives of a payload."""
        return unpickle(payload, self.own_modules)

    def round_trip(self, model: Any) -> Any:
        """The model as a snapshot would bring it back."""
        return round_trip(model, self.own_modules)

    def save(self, header: Mapping[str, Any], payload: bytes) -> int:
        """Write one snapshot durably, then let the oldest of its life go; gives its size in bytes."""
        if not self.keys:
            raise Refused("no private signing key is set", "Set STREAM_APP_SIGNING__KEYS, on learners only")
        sealed = seal(self.keys[0], header, payload)
        life = str(header.get("life", ""))
        name = self.files.name(header["epoch"], header["seq"], life)
        self.files.write(name, sealed)
        try:
            also = self.pins.saved(name, header)
        except Exception as error:  # noqa: BLE001  # each store has errors of its own; what stays takes room
            log.warning("old files could not be removed", folder=self.folder, error=str(error))
            return len(sealed)
        self.files.prune(life, epochs=True, also=also)
        return len(sealed)

    def header_of(self, name: str) -> dict[str, Any] | None:
        """The header of a file if it is whole and ours."""
        found = self.read(name)
        return None if found is None else found[0]

    def names(self) -> list[str]:
        """File names that may be of this life, newest first."""
        own = ("", self.life)
        return [name for name in self.files.names() if not self.life or self.files.life_in(name) in own]

    def before(self, batch: BatchId | None) -> str | None:
        """The newest snapshot of an epoch before one of its batches; without a batch the newest of all."""
        for name in self.names():
            found = self.files.batch_in(name)
            if found is not None and (
                batch is None or (found.epoch == batch.epoch and found.seq < batch.seq)
            ):
                return name
        return None

    def left_over(self) -> list[str]:
        """File names of other lives."""
        return [name for name in self.files.names() if self.files.life_in(name) not in ("", self.life)]

    def tidy(self) -> None:
        """Remove what a writer left behind that died; to be called while no one else writes."""
        remove_partial(self.files.fs, self.folder)

    def load(self) -> Iterable[tuple[dict[str, Any], Callable[[], Any]]]:
        """(header, loader) of each file that is whole and ours, newest first."""
        found = map(self.read, self.names())
        return (each for each in found if each is not None)

    def read(self, name: str) -> tuple[dict[str, Any], Callable[[], Any]] | None:
        """(header, loader) of one file; None, and a line in the log, if it is absent, damaged or foreign."""
        try:
            header, payload = unseal(self.verifying, self.files.read(name))
        except (FileNotFoundError, ValueError) as error:
            log.warning("snapshot passed over", file=name, why=f"unreadable: {error}")
            return None
        belongs = (header.get("app"), header.get("shard"), header.get("format"), header.get("kind"))
        if belongs != (self.app, self.shard, 1, None):  # a published model has a kind
            log.warning("snapshot passed over", file=name, why="it belongs elsewhere")
            return None
        return header, partial(unpickle, payload, self.own_modules)
