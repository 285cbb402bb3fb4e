"""importlib: a definition's own modules. What runs is compiled from the very bytes that are hashed.

Python takes compiled code from its cache where a source has the cached size and time of change, in whole
seconds: an edit within one second would hash as the new text and run as the old one. So own modules are
compiled from their source, each time.

Own is what neither the standard library, nor an installed distribution, nor this project brings; a definition
that is itself installed is own all the same, with its whole package.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import decode_source, resolve_name
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

OURS = {"stream_app", "topics", "drift"}  # one distribution, whose version is recorded
STANDARD = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
PACKAGES = {"site-packages", "dist-packages"}
OWN_ROOTS: set[str] = set()  # packages of the definitions that this process loads, wherever they lie


class FromSource(SourceFileLoader):
    """Compiles a module from its source and keeps the bytes, past Python's cache."""

    read: bytes | None = None

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        self.read = self.get_data(path)
        code: CodeType = self.source_to_code(self.read, path)
        return code


class OwnModules:
    """Finds modules as ever, and has own ones loaded by `FromSource`."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Ask the other finders, in their order."""
        for finder in sys.meta_path:
            if finder is OwnModules or not hasattr(finder, "find_spec"):
                continue
            spec: ModuleSpec | None = finder.find_spec(name, path, target)
            if spec is None:
                continue
            if type(spec.loader) is SourceFileLoader and is_own(spec):
                spec.loader = FromSource(spec.loader.name, spec.loader.path)
            return spec
        return None


def load_from_source(root: str) -> None:
    """From now on import own modules, and all of the package `root`, from their sources."""
    OWN_ROOTS.add(root)
    if OwnModules not in sys.meta_path:
        sys.meta_path.insert(0, OwnModules)


@dataclass(frozen=True)
class Source:
    """One own module: its name, the name of its file for people, and its bytes."""

    name: str
    label: str
    data: bytes
    package: bool

    @property
    def text(self) -> str | None:
        """The Python text; None for a compiled module."""
        return decode_source(self.data) if self.label.endswith(".py") else None


@dataclass
class Imported:
    """The own modules that a definition is made of, by name, and the installed packages that they import."""

    own: dict[str, Source] = field(default_factory=dict)
    installed: set[str] = field(default_factory=set)


def imported_by(modules: Iterable[str]) -> Imported:
    """What these modules import, themselves included, through own modules and wherever an import is.

    Imports are read from the text, so that every process finds the same ones, executed or not. What is
    imported by a computed name is not found.
    """
    found, todo, seen = Imported(), list(modules), set[str]()
    while todo:
        name = todo.pop()
        root = name.partition(".")[0]
        if name in seen or root in OURS:
            continue
        seen.add(name)
        above = find(root)
        if above is None:
            continue
        if above.has_location and not is_own(above):
            if not is_standard(above):
                found.installed.add(root)
            continue
        spec = find(name)
        if spec is None or not is_own(spec):
            continue
        todo.append(name.rpartition(".")[0])
        source = read(spec)
        if source is not None:
            found.own[name] = source
            todo += imports(source)
    return found


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of what brings each package, by distribution; most are named as their package is."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a third of a second, and seldom needed
            names = metadata.packages_distributions().get(package, ())
            found |= {name: metadata.version(name) for name in names}
    return found


def imports(source: Source) -> Iterator[str]:
    """Every name that a module's text imports; the last part of one may be no module."""
    if source.text is None:
        return
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = origin_of(node, source)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def origin_of(node: ast.ImportFrom, source: Source) -> str:
    """The module that `from … import` names, absolute."""
    if not node.level:
        return node.module or ""
    package = source.name if source.package else source.name.rpartition(".")[0]
    try:
        return resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:  # beyond the top: it fails when it runs
        return ""


def find(name: str) -> ModuleSpec | None:
    """A module's spec, as loaded or as it would be; nothing is executed for it."""
    if not name:
        return None
    module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__spec__", None)
    parent = name.rpartition(".")[0]
    if not parent:
        return OwnModules.find_spec(name)
    above = find(parent)
    if above is None or above.submodule_search_locations is None:
        return None
    return OwnModules.find_spec(name, list(above.submodule_search_locations))


def read(spec: ModuleSpec) -> Source | None:
    """A module's bytes: those that were compiled, where it was loaded from source; None of an empty file."""
    loader: Any = spec.loader
    data: bytes | None = getattr(loader, "read", None)
    if data is None and hasattr(loader, "get_data"):
        data = loader.get_data(spec.origin)
    if not data or spec.origin is None:
        return None
    parts = spec.name.split(".")
    file = Path(spec.origin).name
    package = spec.submodule_search_locations is not None
    folder = parts if package else parts[:-1]
    return Source(spec.name, "/".join((*folder, file)), data, package)


def is_own(spec: ModuleSpec) -> bool:
    """Whether the module has a file that belongs to a definition."""
    root = spec.name.partition(".")[0]
    if root in OURS or not spec.has_location or spec.origin is None:
        return False
    if root in OWN_ROOTS:
        return True
    above = spec.name.count(".") + (spec.submodule_search_locations is not None)
    folder = Path(spec.origin).parents[above]
    return not is_standard(spec) and not PACKAGES & set(folder.parts) and root not in distributed(folder)


def is_standard(spec: ModuleSpec) -> bool:
    """Whether the standard library brings it."""
    origin = spec.origin or ""
    if not spec.has_location:
        return origin in ("built-in", "frozen")
    return not PACKAGES & set(Path(origin).parts) and any(origin.startswith(f"{at}/") for at in STANDARD)


@cache
def distributed(folder: Path) -> frozenset[str]:
    """The modules that distributions brought into a folder of another name (`pip install --target`)."""
    names: set[str] = set()
    for distribution in metadata.distributions(path=[str(folder)]):
        names.update(file.parts[0].removesuffix(".py") for file in distribution.files or ())
    return frozenset(names)
