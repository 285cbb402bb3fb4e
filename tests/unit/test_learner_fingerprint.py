"""What a fingerprint holds, and what of it a predictor compares."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from river import linear_model

from stream_app.application import Application
from stream_app.definition.admission import Admission, sample_run
from stream_app.definition.load import load
from stream_app.errors import Refused
from stream_app.learner.recovery.fingerprint import LIBRARIES, check_fingerprint, fingerprint, for_predictors

ROOT = Path(__file__).parents[2]
FLOW = """
topics drift stream_app/flow stream_app/state stream_app/models stream_app/features.py
stream_app/application.py stream_app/learner/batch/emit.py stream_app/learner/batch/processor.py
stream_app/learner/batch/journal.py
""".split()  # noqa: SIM905  readable at this length
TYPES_ONLY = {"mypy_extensions"}
DEFINITION = """
from river import linear_model, preprocessing, tree
from stream_app import Application
app = Application(
    name="a", task="binary",
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    challengers={"tree": lambda seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed)},
)
"""


def application() -> Application:
    """A definition without sources of its own that would change with this file."""
    return Application(name="a", task="binary", champion=lambda seed: linear_model.LogisticRegression())


def test_every_library_of_the_flow_is_in_the_fingerprint() -> None:
    """Whatever decode_records, steps or writes a record is told by its version."""
    places = [ROOT / name for name in FLOW]
    files = [file for place in places for file in (place, *place.rglob("*.py")) if file.is_file()]
    roots = {name.partition(".")[0] for file in files for name in imported(file)}
    foreign = roots - set(sys.stdlib_module_names) - {"topics", "drift", "stream_app"} - TYPES_ONLY
    assert foreign <= set(LIBRARIES), foreign - set(LIBRARIES)
    assert fingerprint(application(), {})["libraries"].keys() >= set(LIBRARIES)


def imported(file: Path) -> set[str]:
    """The modules that a file imports."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_a_fingerprint_survives_json() -> None:
    """It is compared with what a journal or a header gave back."""
    prints = fingerprint(application(), {"events": "id"}, "0" * 32)
    assert orjson.loads(orjson.dumps(prints)) == prints
    assert "tests/unit/test_learner_fingerprint.py" in prints["sources"]
    check_fingerprint(orjson.loads(orjson.dumps(prints)), prints)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sources": {"helpers.py": "1" * 32}}, "helpers.py changed"),
        ({"sources": {}}, "helpers.py is gone"),
        ({"libraries": {"orjson": "3.14.0"}}, "orjson 3.13.0 → 3.14.0"),
        ({"definition": {"slots": {"tree": "1" * 32}, "features": "0" * 32}}, "slot tree changed"),
        ({"definition": {"slots": {"tree": "0" * 32}, "features": "1" * 32}}, "features changed"),
        ({"python": "3.12"}, "Python 3.11 → 3.12"),
        ({"sample_run": "1" * 32}, "the models answer sample data otherwise on this machine"),
        ({"sample_run": "1" * 32, "python": "3.12"}, "Python 3.11 → 3.12;"),
    ],
)
def test_a_refusal_names_what_differs(change: dict[str, Any], sentence: str) -> None:
    """One sentence for each difference, then the remedy; the sample run only where nothing explains it."""
    recorded: dict[str, Any] = {
        "definition": {"slots": {"tree": "0" * 32}, "features": "0" * 32},
        "sources": {"helpers.py": "0" * 32},
        "python": "3.11",
        "libraries": {"orjson": "3.13.0"},
        "sample_run": "0" * 32,
        "topics": {},
    }
    with pytest.raises(Refused) as refused:
        check_fingerprint(recorded, {**recorded, **change})
    told = f"{refused.value.message};"
    assert sentence in told
    assert ("on this machine" in told) == ("python" not in change and "sample_run" in change)
    assert "stream-app upgrade" in refused.value.remedy


def test_a_predictor_compares_neither_topics_nor_the_sample_run() -> None:
    """It takes part in no epoch; the published model's own rows show whether it computes the same bits."""
    app = application()
    learner = fingerprint(app, {"events": "id"}, "0" * 32)
    predictor = fingerprint(app, {})
    assert for_predictors(learner) == for_predictors(predictor)
    assert for_predictors(learner)["sources"] == learner["sources"]


def test_the_admission_processes_and_the_learner_run_one_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first start takes the digest from its admission, a later one runs the sample: it is the same."""
    (tmp_path / "sampled.py").write_text(DEFINITION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with Admission("sampled.py:app") as admission:
        assert admission.conclude() == sample_run(load("sampled.py:app"))
    sys.modules.pop("sampled")
