"""The fingerprint covers the code that decides an answer: every own module, as it was compiled."""

from __future__ import annotations

import importlib
import os
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.definition.digest import Hashed, hashed
from stream_app.definition.load import load
from stream_app.definition.sources import versions

FILES = {
    "mine.py": '''"""Two models of its own beside one of River's."""
import math
from river import base, linear_model
import shapes.curves
from helpers import RATE, halved
from shapes import wide
from stream_app import Application

UNUSED = 1
FLOOR = 0.5

class Base(base.Classifier):
    def learn_one(self, x, y): ...

class Mine(Base):
    """Answers what its helpers say."""
    def __init__(self): self.w = FLOOR
    def learn_one(self, x, y): self.w += RATE * halved(x["x"])
    def predict_proba_one(self, x): return {True: self.w, False: 1 - self.w}

class Other(Base):
    def predict_proba_one(self, x):
        from shapes.late import tall
        return {True: wide.WIDTH / tall(), False: shapes.curves.bend(0.5)}

app = Application(
    name="m", task="binary", champion=lambda seed: Mine(),
    challengers={"other": lambda seed: Other(), "river": lambda seed: linear_model.LogisticRegression()},
)
''',
    "helpers.py": '''"""Of all slots."""
import deeper
RATE = 0.5
def halved(x): return deeper.half(x)
def unused(): return 3
''',
    "deeper.py": "def half(x): return x / 2\n",
    "shapes/__init__.py": "",
    "shapes/wide.py": "WIDTH = 0.5\n",
    "shapes/curves.py": "def bend(x): return x\n",
    "shapes/late.py": "def tall(): return 2\n",
}


class Written:
    """A definition in files, and what a process that loads it anew says of it."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.folder = folder
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            (folder / name).write_text(text)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))

    def forget(self) -> None:
        """Let no module of the definition be loaded."""
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                del sys.modules[name]

    def hashes(self, target: str = "mine.py:app") -> Hashed:
        """Load it as a new process would, and hash it."""
        self.forget()
        return hashed(load(target))

    def answer(self, target: str) -> float:
        """What its champion answers after one lesson."""
        model = load(target).champion(1)
        model.learn_one({"x": 1.0}, True)
        answer: float = model.predict_proba_one({"x": 1.0})[True]
        return answer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a role."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    Written(tmp_path, {}).forget()


@pytest.fixture
def written(folder: Path) -> Written:
    """The files above."""
    return Written(folder, FILES)


def test_every_own_module_is_hashed_and_nothing_else(written: Written) -> None:
    """Imported at the top or in a function, by name or whole: each file of the definition, no library's."""
    found = written.hashes()
    assert found.sources.keys() == {name for name, text in FILES.items() if text}
    assert found.installed == {"river"}
    assert written.hashes("mine:app") == found, "by module as by path"


EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    "class body": ("mine.py", "False: 1 - self.w", "False: 0.25", {"champion"}),
    "docstring of a class": ("mine.py", "what its helpers say", "what helpers say", {"champion"}),
    "base class": ("mine.py", "(self, x, y): ...", "(self, x, y): pass", {"champion", "other"}),
    "constant": ("mine.py", "FLOOR = 0.5", "FLOOR = 0.25", {"champion"}),
    "imported constant": ("helpers.py", "RATE = 0.5", "RATE = 0.25", {"champion"}),
    "imported function": ("helpers.py", "deeper.half(x)", "deeper.half(x) + 1", {"champion"}),
    "helper of a helper": ("deeper.py", "x / 2", "x / 4", {"champion"}),
    "module of a package": ("shapes/wide.py", "0.5", "0.25", {"other"}),
    "module by its whole name": ("shapes/curves.py", "return x", "return x / 2", {"other"}),
    "module imported in a function": ("shapes/late.py", "2", "4", {"other"}),
    "class changed from outside": ("mine.py", "app = App", "Mine.rate = 1\napp = App", {"champion"}),
    "what no slot uses": ("mine.py", "UNUSED = 1", "UNUSED = 2", set()),
    "a function that no slot uses": ("helpers.py", "return 3", "return 4", set()),
    "a comment beside": ("mine.py", "\napp =", "\n# a comment\napp =", set()),
    "the application": ("mine.py", 'name="m"', 'name="m", ttl="1d"', set()),
    "computed names": ("mine.py", "self.w = FLOOR", 'self.w = globals()["FLOOR"]', {"champion"}),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_changes_its_file_and_the_slots_that_can_reach_it(what: str, written: Written) -> None:
    """Another source, so another epoch; a slot whose own code is untouched is carried over."""
    file, old, new, slots = EDITS[what]
    before = written.hashes()
    written.edit(file, old, new)
    after = written.hashes()
    assert differing(before.sources, after.sources) == {file}
    assert differing(before.definition["slots"], after.definition["slots"]) == slots


def differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The names whose hash changed."""
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


NAMED = "from helpers import RATE, halved"
REACHING: dict[str, tuple[str, str]] = {
    "star import": (NAMED, "from helpers import *"),
    "module as such": (NAMED, "import helpers as h\nRATE, halved = h.RATE, h.halved"),
    "one of two": (NAMED, f"try:\n    {NAMED}\nexcept ImportError:\n    RATE, halved = 1, None"),
}


@pytest.mark.parametrize("way", REACHING)
def test_a_helper_is_reached_whatever_way_it_is_imported(way: str, written: Written) -> None:
    """Where the text does not show which names come along, all of them do."""
    written.edit("mine.py", *REACHING[way])
    before = written.hashes().definition["slots"]
    written.edit("helpers.py", "RATE = 0.5", "RATE = 0.25")
    after = written.hashes().definition["slots"]
    assert before["champion"] != after["champion"]
    assert before["river"] == after["river"]


def test_where_names_are_computed_every_own_statement_counts(written: Written) -> None:
    """The text does not show what `globals()[…]` reads; a slot without own code is untouched all the same."""
    written.edit("mine.py", "self.w += RATE", 'self.w += globals()["UNUSED"]')
    before = written.hashes().definition["slots"]
    written.edit("mine.py", "UNUSED = 1", "UNUSED = 2")
    assert differing(before, written.hashes().definition["slots"]) == {"champion"}


@pytest.mark.parametrize("target", ["mine.py:app", "mine:app"])
def test_what_runs_is_what_was_hashed(target: str, written: Written) -> None:
    """An edit within the second and of one size: Python's own cache would run the code of before."""
    files = [written.folder / "mine.py", written.folder / "helpers.py"]
    for file in files:
        py_compile.compile(str(file))
    times = [file.stat() for file in files]
    before = written.hashes(target)
    written.edit("mine.py", "FLOOR = 0.5", "FLOOR = 0.2")
    written.edit("helpers.py", "RATE = 0.5", "RATE = 0.1")
    for file, stat in zip(files, times, strict=True):
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    importlib.invalidate_caches()
    after = written.hashes(target)
    assert differing(before.sources, after.sources) == {"mine.py", "helpers.py"}
    assert written.answer(target) == 0.2 + 0.1 * 0.5


def test_installed_packages_are_told_by_their_versions(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes from site-packages, or from a folder that pip filled, is no source of the definition."""
    libraries = written.folder / "libraries"
    Written(
        libraries,
        {
            "waves/__init__.py": "HEIGHT = 1\n",
            "waves-1.5.dist-info/METADATA": "Name: waves\nVersion: 1.5\n",
            "waves-1.5.dist-info/RECORD": "waves/__init__.py,,\n",
        },
    )
    monkeypatch.syspath_prepend(str(libraries))
    written.edit("mine.py", "import math", "import math, waves, orjson, yaml")
    found = written.hashes()
    assert found.installed == {"orjson", "river", "waves", "yaml"}
    assert found.sources.keys() == {name for name, text in FILES.items() if text}
    told = versions(found.installed)
    assert told.keys() == {"orjson", "river", "waves", "PyYAML"}
    assert told["waves"] == "1.5"


def test_an_installed_definition_is_hashed_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A definition in site-packages is covered by its bytes: its version need not change with them."""
    site = folder / "site-packages"
    package = {
        "owned/__init__.py": "",
        "owned/mine.py": RIVERS.format(extra="from owned import helpers"),
        "owned/helpers.py": "from . import deeper\n",
        "owned/deeper.py": "RATE = 1\n",
    }
    installed = Written(site, package)
    monkeypatch.syspath_prepend(str(site))
    found = installed.hashes("owned.mine:app")
    assert found.sources.keys() == {name for name, text in package.items() if text}


RIVERS = """
from river import linear_model
from stream_app import Application
{extra}
app = Application(name="m", task="binary", champion=lambda seed: linear_model.LogisticRegression())
"""
