"""The ways out of a halt as a person calls them, on a real broker."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from stream_app.embedded.services import Endpoints
from tests.integration.test_upgrade import HALF, Changing

SCALED = "def scaled(seed): return preprocessing.StandardScaler() | linear_model.LogisticRegression()\n"
SHIFTED = """
import os
from river import base
class Shifted(base.Classifier):
    def __init__(self):
        self.inner = naive_bayes.GaussianNB()
    def learn_one(self, x, y):
        self.inner.learn_one(x, y)
    def predict_proba_one(self, x):
        found = self.inner.predict_proba_one(x)
        shift = float(os.environ.get("SHIFT", "0"))
        return {label: p + shift * (0.5 - p) for label, p in found.items()}
def scaled(seed): return Shifted()
"""


class Moved(Changing):
    """An application whose champion reads what no fingerprint sees."""

    def define(self, **changes: object) -> None:
        super().define(**changes)
        file = self.directory / f"{self.name}.py"
        file.write_text(file.read_text().replace(SCALED, SHIFTED))

    def lose_snapshots(self) -> None:
        """As if the directory were empty."""
        for snapshot in (self.directory / "snapshots").rglob("*.snapshot"):
            snapshot.unlink()

    def goes_on(self, start: int, end: int) -> None:
        """A learner takes more; every event has one prediction, and the epoch verifies."""
        self.produce(start, end)
        learned = self.learn()
        assert learned.returncode == 0, learned.stderr
        told = Counter(value["event_id"] for _, value in self.read("predictions"))
        assert told == Counter(str(n) for n in range(end))
        proof = self.run("verify", self.target)
        assert proof.returncode == 0, proof.stdout + proof.stderr


@pytest.mark.soak(
    only=True
)  # five processes one after the other; tests/scenario/test_ways_out.py has the rest
def test_a_divergence_is_accepted_and_a_log_is_learned_again(
    services: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The halt names the call; without `--yes` it writes nothing; afterwards all goes on and verifies."""
    app = Moved(services, tmp_path)
    app.produce(0, HALF)
    assert app.learn().returncode == 0
    app.lose_snapshots()
    monkeypatch.setenv("SHIFT", "0.25")
    halted = app.learn()
    assert halted.returncode == 3, halted.stderr
    (seq,) = set(re.findall(r"--accept-divergence (\d+)", halted.stderr))
    call = ("upgrade", app.target, "--no-admission", "--accept-divergence", seq)
    refused = app.run(*call)
    assert refused.returncode == 3
    assert "Add --yes" in refused.stderr
    planned = app.run(*call, "--dry-run")
    assert planned.returncode == 0
    assert "given up: the proof of batches" in planned.stdout
    done = app.run(*call, "--yes")
    assert done.returncode == 0, done.stderr
    assert "entered epoch 1" in done.stdout
    app.goes_on(HALF, HALF + 20)

    app.lose_snapshots()
    app.define(grace=20)
    assert "snapshots of epoch 1 are missing" in app.learn().stderr
    refused = app.run("upgrade", app.target, "--no-admission")
    assert (refused.returncode, "--from-log" in refused.stderr) == (3, True)
    (again,) = app.upgrade("--from-log", "--restart", "tree", "--yes")
    assert again["epoch"] == 2
    assert "what tree has learned" in again["given_up"]
    app.goes_on(HALF + 20, HALF + 40)


def test_options_that_do_not_fit_are_refused(services: Endpoints, tmp_path: Path) -> None:
    """Before anything is read."""
    app = Changing(services, tmp_path)
    for options, said in (
        (("--restart", "forest"), "Choose from all, champion, tree"),
        (("--from-log", "--accept-divergence", "1"), "goes with none of"),
        (("--shard", "1"), "there is no shard 1"),
    ):
        refused = app.run("upgrade", app.target, "--no-admission", *options)
        assert refused.returncode == 2, refused.stderr
        assert said in refused.stderr
