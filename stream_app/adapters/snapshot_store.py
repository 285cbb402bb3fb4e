"""Signed snapshots on an fsspec file system; the only place that unpickles, and only what is listed here.

File: one line of JSON header, one line with the hex HMAC-SHA256 over header and payload, the pickle. It is
written under a temporary name, synced, renamed; of its life the newest `KEPT` stay, and what begins an epoch.
"""

from __future__ import annotations

import hmac
import inspect
import io
import pickle
from collections.abc import Callable, Iterable, Mapping
from enum import EnumType
from functools import partial
from hashlib import sha256
from typing import Any

import orjson
import structlog

from stream_app.adapters.durable_files import ShardFiles, remove_partial
from stream_app.adapters.set_order import SetsInOrder
from stream_app.errors import Refused

KEPT = 3
SUFFIX = ".snapshot"
# Packages of River that models are made of, without those that open files or sockets (datasets, stream).
RIVER = {
    "_river_rust", "active", "anomaly", "bandit", "base", "cluster", "compose", "conf", "covariance",
    "drift", "dummy", "ensemble", "facto", "feature_extraction", "feature_selection", "forest", "imblearn",
    "linear_model", "metrics", "misc", "model_selection", "multiclass", "multioutput", "naive_bayes",
    "neighbors", "optim", "preprocessing", "proba", "reco", "rules", "sketch", "stats", "time_series", "tree",
    "utils",
}  # fmt: skip
# River's functions stay out but these: some take any object and the name of its attribute.
FUNCTIONS = {
    "river._river_rust.vectordict", "river.feature_extraction.vectorize", "river.metrics.mutual_info",
    "river.utils.math", "river.utils.norm",
}  # fmt: skip
NAMES = {
    "builtins": {
        "set", "frozenset", "complex", "slice", "range", "bytearray", "object", "dict", "list", "tuple",
        "int", "float", "bool", "str", "bytes", "iter",
    },
    "collections": {"deque", "OrderedDict", "defaultdict", "Counter", "ChainMap"},
    "copy": {"deepcopy"},
    "functools": {"partial"},
    "copyreg": {"_reconstructor"},
    "datetime": {"datetime", "date", "timedelta", "timezone"},
    "random": {"Random"},
    "math": {"exp", "log", "log1p", "log2", "log10", "sqrt", "tanh"},
    "operator": {"itemgetter"},
    "itertools": {"count"},
    "_codecs": {"encode"},
    "statistics": {"mean", "median", "NormalDist"},
    "numpy": {
        "ndarray", "dtype", "array", "zeros", "ones", "bool", "float32", "float64", "int32", "int64",
    },
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.random._pickle": {"__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"},
    "numpy.random.bit_generator": {"SeedSequence", "__pyx_unpickle_SeedSequence"},
    "numpy.random._mt19937": {"MT19937"},
    "numpy.random._pcg64": {"PCG64", "PCG64DXSM"},
    "numpy.random._philox": {"Philox"},
    "numpy.random._sfc64": {"SFC64"},
    "drift.categories": {"Categories"},
    "drift.detector": {"Detector"},
    "drift.detectors": {"Detect"},
    "drift.losses": {"Loss"},
    "drift.monitors": {"Monitors", "Movement"},
    "drift.policy": {"Phase", "Policy", "SwapPolicy"},  # the last one in snapshots of before it moved
    "drift.rule": {"SwapPolicy"},
    "drift.sequential": {"Comparison", "Gambler"},
    "drift.sources": {"Doubt", "Runs", "Sources"},
    "topics.envelope": {"Record"},
}  # fmt: skip
METHODS_OF = {"random.Random", "builtins.str"}  # beside those of classes that may be loaded whole
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


class AllowedUnpickler(pickle.Unpickler):
    """Rebuilds what models and states are made of, and refuses every other name.

    A name must be listed in `NAMES`, or be a class that a package of `RIVER`, `stream_app.state` or a module
    of the definition defines itself, a static method or class inside one, or a function of `FUNCTIONS` or of
    the definition. What such a module has only imported leads out of it.
    """

    def __init__(self, file: io.BytesIO, own_modules: tuple[str, ...]) -> None:
        super().__init__(file)
        self.own_modules = own_modules
        self.sets: dict[int, set[Any]] = {}

    def persistent_load(self, stored: Any) -> set[Any]:
        """The set that `persistent_id` took apart; where it was shared it is shared again."""
        number, members = stored
        return self.sets.setdefault(number, set(members))

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return self.bound_method
        if name in NAMES.get(module, ()):
            return super().find_class(module, name)
        if not self.is_open(module):
            raise pickle.UnpicklingError(f"{module}.{name} is not on the allow-list of snapshots")
        outer, *inner = name.split(".")
        found, static = super().find_class(module, outer), False
        for part in inner:
            attribute = vars(found).get(part) if self.is_open_class(found) else None
            static = isinstance(attribute, staticmethod)
            found = attribute.__func__ if isinstance(attribute, staticmethod) else attribute
        home = getattr(found, "__module__", None) or module
        function = home in self.own_modules or home in FUNCTIONS or (static and self.is_open(home))
        if self.is_open_class(found) or (inspect.isroutine(found) and function):
            return found
        raise pickle.UnpicklingError(
            f"{module}.{name} is not on the allow-list of snapshots: no part of a model, or only imported"
        )

    def is_open(self, module: str) -> bool:
        """Whether any class that this module defines may be loaded."""
        root, _, rest = module.partition(".")
        parts = rest.split(".")
        if root == "river":
            return parts[0] in RIVER and not {"datasets", "envs"} & set(parts)
        return (root == "stream_app" and parts[0] == "state") or module in self.own_modules

    def is_open_class(self, found: Any) -> bool:
        """Whether it is a class whose own module is open."""
        return isinstance(found, type) and self.is_open(found.__module__)

    def bound_method(self, owner: Any, name: str) -> Any:
        """What pickle needs of getattr: a method of what may be loaded, or (Python 3.11.0 to 3.11.3) a member
        of an enum.
        """
        if isinstance(owner, EnumType) and name in owner.__members__:
            return owner[name]
        kind = owner if isinstance(owner, type) else type(owner)
        attribute = inspect.getattr_static(kind, name, None)  # no __getattr__ of an object is asked
        known = f"{kind.__module__}.{kind.__qualname__}" in METHODS_OF or self.is_open(kind.__module__)
        method = inspect.isroutine(attribute) or isinstance(attribute, classmethod | staticmethod)
        if not known or not method or name.startswith("__"):
            raise pickle.UnpicklingError(f"attribute {name} may not be reached from a snapshot")
        return attribute.__get__(None if owner is kind else owner, kind)


def round_trip(model: Any, own_modules: tuple[str, ...]) -> Any:
    """The model as a snapshot would bring it back; raises what recovery would meet."""
    return unpickle(dump(model), own_modules)


def unpickle(payload: bytes, own_modules: tuple[str, ...]) -> Any:
    """What a payload holds.

    Raises:
        UnpicklingError: it names what no snapshot needs; use an older one.
    """
    return AllowedUnpickler(io.BytesIO(payload), own_modules).load()


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


class FileSnapshots:
    """Snapshots of one shard below `url` (a directory or any fsspec URL); the first key signs, all verify.

    With a `life`, files of other lives are not seen. Listing and reading raise Unreachable where the store
    gives no answer.
    """

    def __init__(
        self,
        url: str,
        app: str,
        shard: int,
        keys: list[bytes],
        own_modules: tuple[str, ...] = (),
        life: str = "",
    ) -> None:
        if not keys:
            raise Refused(
                "no signing key is set", "Set STREAM_APP_SIGNING__KEYS to a list with a random secret"
            )
        self.files = ShardFiles(url, app, shard, SUFFIX, KEPT)
        self.folder = self.files.folder
        self.app, self.shard, self.keys, self.own_modules, self.life = app, shard, keys, own_modules, life

    def dump(self, state: Any) -> bytes:
        return dump(state)

    def round_trip(self, model: Any) -> Any:
        """The model as a snapshot would bring it back."""
        return round_trip(model, self.own_modules)

    def save(self, header: Mapping[str, Any], payload: bytes) -> int:
        """Write one snapshot durably, then let the oldest of its life go; gives its size in bytes."""
        sealed = seal(self.keys[0], header, payload)
        life = str(header.get("life", ""))
        self.files.write(self.files.name(header["epoch"], header["seq"], life), sealed)
        self.files.prune(life, epochs=True)
        return len(sealed)

    def names(self) -> list[str]:
        """File names that may be of this life, newest first."""
        own = ("", self.life)
        return [name for name in self.files.names() if not self.life or self.files.life_in(name) in own]

    def left_over(self) -> list[str]:
        """File names of other lives."""
        return [name for name in self.files.names() if self.files.life_in(name) not in ("", self.life)]

    def tidy(self) -> None:
        """Remove what a writer left behind that died; to be called while nobody else writes."""
        remove_partial(self.files.fs, self.folder)

    def load(self) -> Iterable[tuple[dict[str, Any], Callable[[], Any]]]:
        """(header, loader) of each file that is whole and ours, newest first."""
        found = map(self.read, self.names())
        return (each for each in found if each is not None)

    def read(self, name: str) -> tuple[dict[str, Any], Callable[[], Any]] | None:
        """(header, loader) of one file; None, and a line in the log, if it is absent, damaged or foreign."""
        try:
            header, payload = unseal(self.keys, self.files.read(name))
        except (FileNotFoundError, ValueError) as error:
            log.warning("snapshot passed over", file=name, why=f"unreadable: {error}")
            return None
        if (header.get("app"), header.get("shard"), header.get("format")) != (self.app, self.shard, 1):
            log.warning("snapshot passed over", file=name, why="it belongs elsewhere")
            return None
        return header, partial(unpickle, payload, self.own_modules)
