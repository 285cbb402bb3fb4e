"""`stream-app backtest` in a process of its own: no server, a table, a page, wrong calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DEFINITION = """
from river import linear_model, preprocessing
from stream_app import Application, Labels, SwapPolicy

def logistic(seed):
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()

one = Application(name="one", task="binary", champion=logistic, labels=Labels(horizon="30d"))
three = Application(name="three", task="binary", champion=logistic, labels=Labels(horizon="7d"))
two = Application(name="two", task="regression", champion=lambda seed: linear_model.LinearRegression(),
                  labels=Labels(horizon="30d"))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A file with two definitions."""
    file = tmp_path / "app.py"
    file.write_text(DEFINITION)
    return file


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One call, without any server in reach."""
    return subprocess.run(
        [sys.executable, "-m", "stream_app", "backtest", *words],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONHASHSEED": "0",
            "XDG_STATE_HOME": str(directory),
            "STREAM_APP_SERVICES_DIR": str(directory),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_file_becomes_a_table_and_a_page(app: Path) -> None:
    """With the curve; the page needs nothing else. As JSON it has the same figures."""
    rows = "".join(f"{'ab'[n % 2]},{n % 7},{'yes' if n % 2 else 'no'}\n" for n in range(200))
    (app.parent / "rows.csv").write_text("who,x,y\n" + rows)
    page = app.parent / "page.html"
    read = (f"{app}:one", "rows.csv", "--key", "who", "--label", "y", "--label-delay", "5")
    beside = ("--boosted", "50", "--slice", "x", "--predictions", "made.jsonl")
    done = run(app.parent, *read, *beside, "--html", str(page))
    assert done.returncode == 0, done.stderr
    made = [json.loads(line) for line in (app.parent / "made.jsonl").read_text().splitlines()]
    assert len(made) == 195
    assert {"event_id", "prediction", "probabilities", "label"} <= made[0].keys()
    for text in ("boosted trees, every 50", "x 3: accuracy", "probabilities are off by"):
        assert text in done.stdout
    for text in ("served", "champion v1", "last label", "95 % interval", "µs of processor time an event"):
        assert text in done.stdout
    text = page.read_text()
    assert "What was served" not in text, "there is one definition"
    assert text.count("<svg") == 2
    for part in ("Calibration", "Slices", "x 3", "boosted trees, every 50"):
        assert part in text
    assert "http" not in text, "it needs nothing else"
    several = run(app.parent, *read, "--json", "--compare", f"{app}:three", "--html", str(page)).stdout
    assert "What was served" in page.read_text()
    found, _ = map(json.loads, several.splitlines())
    assert (found["events"], found["labels"], found["score"]) == (200, 200, "accuracy")
    assert found["lines"][0]["scores"]["n"] == 195


def test_another_task_is_compared_by_its_own_score(app: Path) -> None:
    """A data set of River's, and each definition's score."""
    words = ("river:ChickWeights", "--label", "label", "--json")
    (found,) = map(json.loads, run(app.parent, f"{app}:two", *words).stdout.splitlines())
    assert found["score"] == "mae"
    served = found["lines"][0]
    assert served["low"] < served["scores"]["mae"] < served["high"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("river:Phishing",), 2, "Name it: --label COL"),
        (("river:Nowhere", "--label", "label"), 2, "Choose one of"),
        (("none.csv", "--label", "label"), 2, "there is no file none.csv"),
        (("river:Phishing", "--label", "truth"), 2, "has no column truth"),
        (("river:Phishing", "--label", "label", "--slice", "url"), 2, "no feature has that name"),
        (("river:Phishing", "--label", "label", "--key", "who"), 2, "has no column who"),
    ],
)
def test_a_wrong_call_says_what_is_right(app: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """Nothing is run."""
    done = run(app.parent, f"{app}:one", *words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
