"""A definition by name: each way to miss it has its own words, and its hashes tell what decides an answer."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from river import linear_model, tree

from stream_app import features as f
from stream_app.application import Application, Labels, Limits, Snapshots
from stream_app.definition.digest import APART, definition_hashes, plain
from stream_app.definition.load import load
from stream_app.errors import UsageError
from stream_app.models.digest import structural_digest
from stream_app.own_process import own_command

ROOT = Path(__file__).parents[2]
RIGHT = """
from river import linear_model
from stream_app.application import Application
app = Application(name="a", task="binary", champion=lambda seed: linear_model.LogisticRegression())
other = 7
"""


def test_a_definition_is_found_in_a_file_and_in_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`path.py:attr` and `module:attr` give the same definition."""
    (tmp_path / "defined_here.py").write_text(RIGHT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    by_path = load(f"{tmp_path}/defined_here.py:app")
    assert by_path.name == "a"
    monkeypatch.delitem(sys.modules, "defined_here")
    assert definition_hashes(load("defined_here:app")) == definition_hashes(by_path)
    monkeypatch.delitem(sys.modules, "defined_here")


@pytest.mark.parametrize("name", ["glob", "kafka"])
@pytest.mark.parametrize("target", ["{}:app", "{}.py:app"])
def test_a_definition_with_the_name_of_another_module_is_refused(
    name: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own or a library's: whoever imports that name would get one of the two by chance."""
    (tmp_path / f"{name}.py").write_text(RIGHT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(UsageError, match="has the name of another module") as caught:
        load(target.format(name))
    assert caught.value.remedy == "Rename it"


def test_a_working_directory_hides_no_library(tmp_path: Path) -> None:
    """A folder with files named like Python's modules, ours and a library: a command loads none of them."""
    for name in ("glob", "typer", "random"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('loaded from the working directory')")
    (tmp_path / "stream_app").mkdir()
    (tmp_path / "stream_app" / "__init__.py").write_text("raise RuntimeError('loaded from the directory')")
    (tmp_path / "mine.py").write_text(RIGHT)
    command = own_command("topics", "check", "mine:app")
    environment = {**os.environ, "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "loaded from" not in done.stderr
    assert "no Kafka broker answers" in done.stderr


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("app", "MODULE:APP"),
        (":app", "MODULE:APP"),
        ("module:", "MODULE:APP"),
        ("no_such_module_here:app", "no_such_module_here"),
        ("right.py:missing", "has no .missing.*Write right.py:app"),
        ("typo.py:app", "chalengers.*takes name, task, champion, challengers"),
        ("right.py:other", "has .other., which is not an Application"),
        ("absent.py:app", "no file"),
        ("raises.py:app", "ZeroDivisionError"),
        ("syntax.py:app", "SyntaxError"),
        ("needs.py:app", "no_such_dependency"),
        ("refused.py:app", "ranking"),
    ],
)
def test_each_way_to_miss_a_definition_has_its_words(
    target: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is a usage error that names what was found instead, and what to do."""
    files = {
        "right": RIGHT,
        "raises": "1 / 0",
        "syntax": "app = (",
        "needs": "import no_such_dependency",
        "typo": RIGHT.replace("task=", "chalengers={}, task="),
        "refused": RIGHT.replace('"binary"', '"ranking"'),
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(UsageError, match=told) as caught:
        load(target)
    assert caught.value.remedy
    for name in files:
        sys.modules.pop(name, None)


def define(**changed: Any) -> Application:
    """A definition, changed by keyword."""
    champion = changed.pop("champion", lambda seed: linear_model.LogisticRegression())
    return Application(**{"name": "a", "task": "binary", "champion": champion, **changed})


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"champion": lambda seed: linear_model.LogisticRegression(l2=0.1)}, "slots"),
        ({"champion": lambda seed: tree.HoeffdingTreeClassifier()}, "slots"),
        ({"challengers": {"b": lambda seed: tree.HoeffdingTreeClassifier()}}, "slots"),
        ({"features": [f.count("1h")]}, "features"),
        ({"labels": Labels(horizon="2h")}, "labels"),
        ({"threshold": 0.4}, "rest labels"),
        ({"dedupe": "2h"}, "rest"),
        ({"limits": Limits(max_pending=5)}, "rest"),
        ({"types": {"x": "number"}}, "rest"),
        ({"class_weights": {True: 2.0}}, "rest"),
        ({"drift": ()}, "drift"),
        ({"ttl": "1d"}, "rest"),
        ({"explain": 3}, "rest"),
    ],
)
def test_a_hash_tells_which_part_changed(changed: dict[str, Any], part: str) -> None:
    """Whatever could change an answer changes the hash of its part, and no other."""
    before, after = definition_hashes(define()), definition_hashes(define(**changed))
    assert {name for name in before if before[name] != after[name]} == set(part.split())


def test_a_definition_that_asks_for_no_explanations_has_the_hash_from_before_it_could() -> None:
    """A journal from then goes on without an upgrade."""
    app = define()
    known = {entry.name: getattr(app, entry.name) for entry in fields(app) if entry.name not in APART}
    del known["explain"]
    assert definition_hashes(app)["rest"] == structural_digest(
        {n: plain(value) for n, value in known.items()}
    )


def test_how_often_to_snapshot_changes_no_hash() -> None:
    """Operational settings do not begin an epoch."""
    assert definition_hashes(define()) == definition_hashes(define(snapshot=Snapshots(max_cost=0.5)))


def test_hashes_are_the_same_in_another_process(tmp_path: Path) -> None:
    """A learner that restarts finds its own definition again."""
    (tmp_path / "mine.py").write_text(RIGHT)
    code = (
        "import sys; from stream_app.definition.load import load; "
        "from stream_app.definition.digest import definition_hashes; "
        "print(definition_hashes(load(sys.argv[1])))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, f"{tmp_path}/mine.py:app"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(said) == 1


def test_a_definition_that_is_only_read_loads_none_of_rivers_packages(tmp_path: Path) -> None:
    """A command that makes no model starts without River, a second sooner; a model made later is whole."""
    (tmp_path / "mine.py").write_text(RIGHT)
    code = """if True:
        import sys
        from stream_app.definition.load import load
        app = load(sys.argv[1], models=False)
        print(app.name, app.shards, "scipy" in sys.modules)
        model = app.champion(1)
        model.learn_one({"x": 1.0}, True)
        print(model.predict_proba_one({"x": 1.0})[True] > 0.5)
        from river import tree
        print(type(tree).__name__)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, f"{tmp_path}/mine.py:app"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["a", "1", "False", "True", "module"]
