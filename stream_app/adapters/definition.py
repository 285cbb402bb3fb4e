"""importlib: a definition by name, its hashes, and the pinned hash seed under which every role runs."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from stream_app.application import Application
from stream_app.errors import UsageError
from stream_app.models.build import build
from stream_app.models.digest import structural_digest
from stream_app.models.seeds import seed_for

PINNED = "0"
# Hashed by themselves, since an upgrade looks at each; how often to snapshot and how fresh an answer of a
# predictor must be decide nothing that a learner writes.
APART = {
    "champion", "challengers", "features", "labels", "snapshot", "serving", "task", "drift", "swap", "loss",
}  # fmt: skip


def pin_hash_seed() -> None:
    """Re-execute this process with PYTHONHASHSEED=0: the order of sets decides bits of some models."""
    if os.environ.get("PYTHONHASHSEED") == PINNED:
        return
    os.environ["PYTHONHASHSEED"] = PINNED
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "stream_app", *sys.argv[1:]])


def load(target: str) -> Application:
    """The definition that `module:attr` or `path.py:attr` names.

    Raises:
        UsageError: each way to miss it, with its fix.
    """
    place, colon, attribute = target.rpartition(":")
    if not colon or not place or not attribute:
        raise UsageError(f"{target!r} names no definition", "Write MODULE:APP or path/to/file.py:app")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        raise UsageError(
            f"module {error.name} is not found", "Run from the folder that holds it, or give a path"
        ) from error
    except Exception as error:
        remedy = "Mend the definition"
        if isinstance(error, TypeError) and "Application.__init__" in str(error):
            remedy += f"; Application takes {', '.join(Application.__dataclass_fields__)}"
        raise UsageError(f"{place} raised {type(error).__name__}: {error}", remedy) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, Application):
        what = "nothing" if found is None else type(found).__name__
        others = [name for name, value in vars(module).items() if isinstance(value, Application)]
        remedy = (
            f"It holds {', '.join(others)}" if others else f"Define `{attribute} = Application(...)` there"
        )
        raise UsageError(f"{target} is {what}, no Application", remedy)
    return found


def from_file(path: Path) -> Any:
    """A module from a file; registered under its stem, so that pickles of its classes find it again."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "Check the path before the colon")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file", "Name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def definition_hashes(app: Application) -> dict[str, Any]:
    """`slots`: by name, from a fresh model; `features`, `labels`, `rest`: what else decides an answer."""
    factories = {"champion": app.champion, **app.challengers}
    slots = {
        name: structural_digest(build(factory, seed_for(app.seed, name, 0)))
        for name, factory in factories.items()
    }
    rest = {
        entry.name: getattr(app, entry.name) for entry in dataclasses.fields(app) if entry.name not in APART
    }
    return {
        "task": app.task,
        "slots": slots,
        "drift": structural_digest([plain(detect) for detect in app.drift or ()]),
        "swap": structural_digest([dataclasses.astuple(app.swap), app.loss]),
        "features": features_hash(app),
        "labels": structural_digest(dataclasses.astuple(app.labels) if app.labels else None),
        "rest": structural_digest({name: plain(value) for name, value in rest.items()}),
    }


def features_hash(app: Application) -> str:
    """Under the same one alone is what is known of an entity carried over by an upgrade."""
    return structural_digest([dataclasses.astuple(feature) for feature in app.features])


def plain(value: Any) -> Any:
    """A dataclass as its values, anything else as it is."""
    return (
        dataclasses.astuple(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )


def layout_of(app: Application) -> str:
    """What tells an entity's blob from one of other features, short since each blob carries it."""
    return features_hash(app)[:8]
