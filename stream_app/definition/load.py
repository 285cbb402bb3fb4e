"""importlib: a definition by name, from its source, with River's packages at once or on first use."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from stream_app.application import Application
from stream_app.definition.sources import OURS, FromSource, load_from_source
from stream_app.errors import UsageError


def load(target: str, *, models: bool = True) -> Application:
    """Load the definition that `module:attr` or `path.py:attr` names.

    Without `models`, a package of River's is loaded once something in it is used: callers that make no model
    start a second sooner.

    Raises:
        UsageError: each way to miss it, with its fix.
    """
    place, colon, attribute = target.rpartition(":")
    if not colon or not place or not attribute:
        raise UsageError(f"{target!r} names no definition", "Write MODULE:APP or path/to/file.py:app")
    root = Path(place).stem if place.endswith(".py") else place.partition(".")[0]
    require_own_name(root, Path(place).parent if place.endswith(".py") else Path.cwd())
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: what lies there hides no library
    importlib.invalidate_caches()  # a file that was written just now is there
    load_from_source(root)
    try:
        with nullcontext() if models else river_on_use():
            module = from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        raise UsageError(
            f"module {error.name} is not found", "Run from the folder that holds it, or give a path"
        ) from error
    except Exception as error:
        remedy = "Correct the definition"
        if isinstance(error, TypeError) and "Application.__init__" in str(error):
            remedy += f"; Application takes {', '.join(Application.__dataclass_fields__)}"
        raise UsageError(f"{place} raised {type(error).__name__}: {error}", remedy) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, Application):
        others = [name for name, value in vars(module).items() if isinstance(value, Application)]
        what = f"has no {attribute!r}" if found is None else f"has {attribute!r}, which is not an Application"
        instead = " or ".join(f"{place}:{name}" for name in others)
        remedy = f"Write {instead}" if others else f"Define `{attribute} = Application(...)` there"
        raise UsageError(f"{place} {what}", remedy)
    object.__setattr__(found, "home", module.__name__)
    return found


def require_own_name(name: str, folder: Path) -> None:
    """Refuse a definition's module in `folder` that has the name of a module of Python or of a library.

    Imported as that name, one of the two would be loaded in place of the other.

    Raises:
        UsageError: with the fix.
    """
    if name in OURS or not ((folder / f"{name}.py").exists() or (folder / name).is_dir()):
        return
    elsewhere = [entry for entry in sys.path if entry and Path(entry).resolve() != folder.resolve()]
    spec = None if name in sys.stdlib_module_names else PathFinder.find_spec(name, elsewhere)
    if name in sys.stdlib_module_names or (spec is not None and spec.origin is not None):
        owner = "Python itself" if spec is None else str(spec.origin)
        raise UsageError(
            f"{name} in {folder.resolve()} has the name of another module ({owner})",
            "Rename it",
        )


def from_file(path: Path) -> Any:
    """A module from a file; registered under its stem, so that pickles of its classes find it again.

    A file that is loaded already and has not changed is not run again: that would make its classes others,
    and models of the first ones could not be stored any more.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "Check the path before the colon")
    known = sys.modules.get(path.stem)
    if known is not None and is_loaded(known, path):
        return known
    spec = importlib.util.spec_from_file_location(path.stem, path, loader=FromSource(path.stem, str(path)))
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", "Name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def is_loaded(module: ModuleType, path: Path) -> bool:
    """Whether a module is what this file holds now."""
    spec = getattr(module, "__spec__", None)
    if spec is None or spec.origin is None or not isinstance(spec.loader, FromSource):
        return False
    return Path(spec.origin).resolve() == path.resolve() and spec.loader.read == path.read_bytes()


class OnUse:
    """Finds River's packages and has them loaded once an attribute of theirs is asked for."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Take `river.tree` and its like; whatever is in them, and what is compiled, is found as always."""
        if not name.startswith("river.") or name.startswith("river._") or name.count(".") != 1:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def river_on_use() -> Iterator[None]:
    """Within this block, importing a package of River's loads nothing yet."""
    sys.meta_path.insert(0, OnUse)
    try:
        yield
    finally:
        sys.meta_path.remove(OnUse)
