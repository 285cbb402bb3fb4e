"""Snapshots on disk: what is not whole, ours and harmless is never loaded."""

from __future__ import annotations

import operator
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from river import linear_model, stats, utils

from drift.policy import Phase
from stream_app.adapters.pickled import dump
from stream_app.adapters.snapshot_store import KEPT, FileSnapshots
from stream_app.errors import Refused

KEY, OTHER = b"k" * 32, b"o" * 32


def store(path: Path, *keys: bytes, app: str = "a", shard: int = 0) -> FileSnapshots:
    """Snapshots of one shard under a folder."""
    return FileSnapshots(str(path), app, shard, list(keys or (KEY,)))


def header(seq: int, epoch: int = 0, **changed: Any) -> dict[str, Any]:
    """What the learner writes above a snapshot, as far as the store reads it."""
    return {"format": 1, "app": "a", "shard": 0, "epoch": epoch, "seq": seq, **changed}


def save(to: FileSnapshots, seq: int, state: Any = None, **changed: Any) -> Path:
    """Save one and give its file."""
    to.save(header(seq, **changed), dump(state or {"seq": seq}))
    return Path(to.folder) / to.names()[0]


def loaded(from_: FileSnapshots) -> list[Any]:
    """Everything that may be loaded, newest first."""
    return [load() for _, load in from_.load()]


def test_what_was_saved_is_loaded_newest_first(tmp_path: Path) -> None:
    """Headers and states come back, and an empty folder has none."""
    snapshots = store(tmp_path)
    assert loaded(snapshots) == []
    for seq in (9, 10, 100):
        save(snapshots, seq)
    assert [head["seq"] for head, _ in snapshots.load()] == [100, 10, 9]
    assert loaded(snapshots) == [{"seq": 100}, {"seq": 10}, {"seq": 9}]


def test_the_three_newest_stay(tmp_path: Path) -> None:
    """Older ones go, temporary files do not stay, and another shard's are left alone."""
    snapshots, other = store(tmp_path), store(tmp_path, shard=1)
    save(other, 1, shard=1)
    for seq in range(1, 8):
        save(snapshots, seq)
    assert [head["seq"] for head, _ in snapshots.load()] == [7, 6, 5]
    assert len(list(Path(snapshots.folder).iterdir())) == KEPT
    assert loaded(other) == [{"seq": 1}]


def test_the_snapshot_that_begins_an_epoch_stays(tmp_path: Path) -> None:
    """An epoch after the first can only be entered through its first snapshot, which stays."""
    snapshots = store(tmp_path)
    for seq in (1, 2):
        save(snapshots, seq)
    for seq in range(3, 10):
        save(snapshots, seq, epoch=1)
    assert [(head["epoch"], head["seq"]) for head, _ in snapshots.load()] == [(1, 9), (1, 8), (1, 7), (1, 3)]


@pytest.mark.parametrize("place", ["header", "signature", "payload", "cut", "empty", "one line"])
def test_a_damaged_file_is_passed_over(place: str, tmp_path: Path) -> None:
    """One flipped bit anywhere, or a torn file, and the next older snapshot is given."""
    snapshots = store(tmp_path)
    save(snapshots, 1)
    file = save(snapshots, 2)
    head, mac, payload = file.read_bytes().split(b"\n", 2)
    flipped = {
        "header": b"\n".join((head.replace(b'"seq":2', b'"seq":3'), mac, payload)),
        "signature": b"\n".join((head, mac[:-1] + (b"0" if mac[-1:] != b"0" else b"1"), payload)),
        "payload": b"\n".join((head, mac, payload[:-3] + bytes([payload[-3] ^ 1]) + payload[-2:])),
        "cut": file.read_bytes()[:-5],
        "empty": b"",
        "one line": head,
    }
    file.write_bytes(flipped[place])
    assert loaded(snapshots) == [{"seq": 1}]


def test_another_key_is_refused_and_a_rotated_one_still_read(tmp_path: Path) -> None:
    """The first key signs and all verify, so a new key in front keeps the old files readable."""
    save(store(tmp_path), 1)
    assert loaded(store(tmp_path, OTHER)) == []
    both = store(tmp_path, OTHER, KEY)
    assert loaded(both) == [{"seq": 1}]
    save(both, 2)
    assert loaded(store(tmp_path)) == [{"seq": 1}]
    assert loaded(store(tmp_path, OTHER)) == [{"seq": 2}]


@pytest.mark.parametrize("changed", [{"app": "b"}, {"shard": 1}, {"format": 2}], ids=str)
def test_a_file_of_another_place_is_passed_over(changed: dict[str, Any], tmp_path: Path) -> None:
    """A whole and signed snapshot of another application, shard or format is not this shard's."""
    snapshots = store(tmp_path)
    save(snapshots, 1)
    save(snapshots, 2, **changed)
    assert loaded(snapshots) == [{"seq": 1}]


def test_without_a_key_nothing_is_opened(tmp_path: Path) -> None:
    """No key, no store: the remedy names the setting."""
    with pytest.raises(Refused, match="STREAM_APP_SIGNING__KEYS"):
        FileSnapshots(str(tmp_path), "a", 0, [])


class Runs:
    """What an attacker would pickle."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


ATTACKS = {
    "os.system": Runs(os.system, "true"),
    "subprocess": Runs(subprocess.Popen, ["true"]),
    "eval": Runs(eval, "1"),
    "exec": Runs(exec, "1"),
    "open": Runs(open, os.devnull),
    "import": Runs(__import__, "os"),
    "setattr": Runs(setattr, "text", "x", 1),
    "loads": Runs(pickle.loads, b"N."),
    "resource": Runs(resource.getrusage, 0),
    "attrgetter": Runs(operator.attrgetter("__globals__"), pickle.dumps),
    "another object's method": Runs(getattr, [], "append"),
    "through the object inside": Runs(getattr, utils.Rolling(stats.Mean, 3), "n"),
    "more than a member of an enum": Runs(getattr, Phase, "__members__"),
    "a dunder through getattr": Runs(getattr, linear_model.LogisticRegression, "__init__"),
    "globals through getattr": Runs(
        getattr, Runs(getattr, linear_model.LogisticRegression, "clone"), "__globals__"
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_pickle_that_calls_what_no_model_needs_is_refused(attack: Runs, tmp_path: Path) -> None:
    """Signed or not, only names on the allow-list are rebuilt."""
    snapshots = store(tmp_path)
    save(snapshots, 1, {"state": attack})
    _, load = next(iter(snapshots.load()))
    with pytest.raises(pickle.UnpicklingError, match=r"allow-list|may not be reached"):
        load()


def dotted(module: str, name: str) -> bytes:
    """A pickle that gives one global, its name with dots as protocol 4 allows."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text for text in (module.encode(), name.encode()))
    return b"\x80\x04" + texts + b"\x93."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("stream_app.adapters.snapshot_store", "os.system"),
        ("stream_app.adapters.snapshot_store", "pickle.loads"),
        ("stream_app.definition.load", "os.execv"),
        ("stream_app.definition.load", "from_file"),
        ("stream_app.adapters.snapshot_store", "FileSnapshots"),
        ("stream_app.models.build", "build"),
        ("stream_app.state.shard", "build"),
        ("stream_app.state.shard", "Application"),
        ("drift.detectors", "MAKERS"),
        ("numpy", "load"),
        ("numpy.testing._private.utils", "runstring"),
        ("river", "utils"),
        ("river.base.base", "inspect.sys"),
        ("river.base.base", "_log_method_calls"),
        ("river.utils.rolling", "BaseRolling.__getattr__"),
        ("river.compose.pipeline", "learn_during_predict"),
        ("river.datasets", "Phishing"),
        ("river.drift.datasets", "AirlinePassengers"),
        ("river.stream.cache", "Cache"),
        ("river.checks.common", "pickle.loads"),
    ],
)
def test_no_name_leads_out_of_an_allowed_module(module: str, name: str, tmp_path: Path) -> None:
    """A dotted name, or a module that an allowed module imported, is refused: it would reach everything."""
    snapshots = store(tmp_path)
    snapshots.save(header(1), dotted(module, name))
    _, load = next(iter(snapshots.load()))
    with pytest.raises(pickle.UnpicklingError):
        load()


def test_a_member_of_an_enum_is_loaded_as_any_python_stores_it(tmp_path: Path) -> None:
    """By value, as most do, and by getattr, as 3.11.0 to 3.11.3 do."""
    snapshots = store(tmp_path)
    save(snapshots, 1, [Runs(Phase, "hunting"), Runs(getattr, Phase, "HUNTING")])
    assert loaded(snapshots) == [[Phase.HUNTING, Phase.HUNTING]]


def test_a_definitions_own_module_is_allowed_only_when_named(tmp_path: Path) -> None:
    """The class of a user's module loads under its definition and nowhere else."""
    own = FileSnapshots(str(tmp_path), "a", 0, [KEY], (__name__,))
    save(own, 1, {"state": Mine()})
    assert type(loaded(own)[0]["state"]) is Mine
    with pytest.raises(pickle.UnpicklingError, match="allow-list"):
        loaded(store(tmp_path))


class Mine:
    """A user's own part of a model."""

    def rate(self) -> float:
        """A method that a model may hold."""
        return 0.5


@pytest.mark.parametrize(
    "name", ["os", "os.system", "Path", "Path.unlink", "subprocess.run", "FileSnapshots", "KEY"]
)
def test_what_a_definition_only_imports_is_refused(name: str, tmp_path: Path) -> None:
    """The definition's module is open for what it defines, not for what it uses."""
    own = FileSnapshots(str(tmp_path), "a", 0, [KEY], (__name__,))
    own.save(header(1), dotted(__name__, name))
    _, load = next(iter(own.load()))
    with pytest.raises(pickle.UnpicklingError, match="allow-list"):
        load()


def test_what_a_definition_defines_is_loaded(tmp_path: Path) -> None:
    """Its functions, and the methods of its classes, bound or not."""
    own = FileSnapshots(str(tmp_path), "a", 0, [KEY], (__name__,))
    save(own, 1, {"state": [header, Mine.rate, Mine().rate]})
    function, method, bound = loaded(own)[0]["state"]
    assert (function, method) == (header, Mine.rate)
    assert bound() == 0.5


def test_a_full_disk_leaves_the_old_snapshots(tmp_path: Path) -> None:
    """When the file cannot be written whole, saving raises and what was there is loaded as before."""
    save(store(tmp_path), 1)
    code = (
        "import resource, signal, sys\n"
        "from stream_app.adapters.snapshot_store import FileSnapshots\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "store = FileSnapshots(sys.argv[1], 'a', 0, [b'k' * 32])\n"
        "try:\n"
        "    store.save({'format': 1, 'app': 'a', 'shard': 0, 'epoch': 0, 'seq': 2}, b'x' * 100_000)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "File too large" in done.stdout
    assert loaded(store(tmp_path)) == [{"seq": 1}]
    save(store(tmp_path), 3)
    assert loaded(store(tmp_path)) == [{"seq": 3}, {"seq": 1}]
