"""A changed definition: refused by a learner, carried over by an upgrade, proved by a replay."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from river import datasets, linear_model, preprocessing

from stream_app.client import CommittedReader
from stream_app.client.producer import EventProducer
from stream_app.embedded.services import Endpoints
from tests import warm
from tests.integration.command_line import CommandLine

ROWS = list(datasets.Phishing())[:400]
HALF, DELAY = 200, 20
TEMPLATE = """
from river import linear_model, naive_bayes, preprocessing, tree
from stream_app.application import Application
from stream_app import features as f
def scaled(seed): return preprocessing.StandardScaler() | linear_model.LogisticRegression()
def bayes(seed): return naive_bayes.GaussianNB()
def trees(seed): return tree.HoeffdingTreeClassifier(grace_period={grace})
TIMES = {times}
class Own(linear_model.LogisticRegression):
    def learn_one(self, x, y, w=1.0):
        for _ in range(TIMES):
            super().learn_one(x, y, w)
def own(seed): return Own()
app = Application(
    name={name!r}, task={task!r}, champion=scaled, challengers={challengers}, features={features}
)
"""


class Changing:
    """One application whose definition a test rewrites."""

    def __init__(self, services: Endpoints, directory: Path) -> None:
        self.directory = directory
        self.call = CommandLine(
            services,
            directory,
            STREAM_APP_SNAPSHOTS__URL=str(directory / "snapshots"),
            STREAM_APP_SIGNING__KEYS="5a" * 32,
        )
        self.servers, self.name = services.bootstrap_servers, self.call.name
        self.target = f"{directory / self.name}.py:app"
        self.define()
        assert self.call("topics", "create", self.target).code == 0

    def define(self, **changes: Any) -> None:
        told = {
            "grace": 50,
            "times": 1,
            "task": "binary",
            "challengers": "{'tree': trees}",
            "features": "[]",
            **changes,
        }
        (self.directory / f"{self.name}.py").write_text(TEMPLATE.format(name=self.name, **told))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.call.environment, "PYTHONHASHSEED": "0"}
        return warm.run("stream_app", *arguments, env=environment, text=True, timeout=100)

    def learn(self) -> subprocess.CompletedProcess[str]:
        return self.run("learn", self.target, "--exit-when-idle", "0.3", "--no-supervise", "--no-admission")

    def upgrade(self, *options: str) -> list[dict[str, Any]]:
        done = self.run("upgrade", self.target, "--json", "--no-admission", *options)
        assert done.returncode == 0, done.stderr
        return [orjson.loads(line) for line in done.stdout.splitlines()]

    def produce(self, start: int, end: int) -> None:
        """Rows [start, end), each label `DELAY` events late: the last ones wait across an upgrade."""
        with EventProducer(self.name, {"bootstrap_servers": self.servers}) as producer:
            for i in range(start, end):
                producer.send(f"k{i % 7}", ROWS[i][0], str(i), time=1_700_000_000_000 + 2 * i)
                if i >= DELAY:
                    late = i - DELAY
                    stamp = 1_700_000_000_000 + 2 * i - 1
                    producer.label(f"k{late % 7}", str(late), ROWS[late][1], time=stamp)

    def read(self, topic: str) -> list[Any]:
        reader = CommittedReader(
            {"bootstrap_servers": self.servers}, f"{self.name}.{topic}", until_end=True, timeout_s=20
        )
        try:
            return [(record.key, orjson.loads(record.value)) for record in reader]
        finally:
            reader.close()


@pytest.fixture
def changing(services: Endpoints, tmp_path: Path) -> Changing:
    """An application that has learned the first half of its rows."""
    app = Changing(services, tmp_path)
    app.produce(0, HALF)
    done = app.learn()
    assert done.returncode == 0, done.stderr
    return app


def test_an_unchanged_slot_goes_on_as_if_nothing_had_happened(changing: Changing) -> None:
    """Across an upgrade the champion serves what bare River serves; a changed slot is fresh."""
    changing.define(grace=20, features="[f.count(window='10m')]")
    refused = changing.learn()
    assert refused.returncode == 3
    assert f"{changing.name}.py changed" in refused.stderr
    assert "slot tree changed" in refused.stderr
    assert "stream-app upgrade" in refused.stderr

    changing.define(grace=20)
    (planned,) = changing.upgrade("--dry-run")
    assert changing.learn().returncode == 3, "a dry run changes nothing"
    (done,) = changing.upgrade()
    assert (planned["done"], done["done"], done["epoch"]) == (False, True, 1)
    assert done["carried"] == ["champion", "features of entities", "detectors", "pending rows and ids"]
    assert done["fresh"] == ["tree", "hunts and races"]

    changing.produce(HALF, len(ROWS))
    learned = changing.learn()
    assert learned.returncode == 0, learned.stderr
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    expected = []
    for i, (x, _) in enumerate(ROWS):
        if i >= DELAY:
            model.learn_one(*ROWS[i - DELAY])
        expected.append((str(i), model.predict_proba_one(x)[True] if i >= DELAY else None))
    served = [
        (told["event_id"], told.get("probabilities", {}).get("true"))
        for _, told in changing.read("predictions")
    ]
    assert served == expected

    receipts = dict(changing.read("models"))
    assert receipts[b"0/3"]["why"] == "upgrade: its definition changed"
    assert changing.upgrade()[0]["changed"] == []
    proof = changing.run("verify", changing.target, "--json")
    assert proof.returncode == 0, proof.stdout + proof.stderr


def test_changed_features_start_fresh_and_the_way_back_is_another_upgrade(changing: Changing) -> None:
    """New entity features begin empty, dropped slots go; the old definition can come back."""
    changing.define(challengers="{'bayes': bayes}", features="[f.count(window='10m')]")
    (done,) = changing.upgrade()
    assert done["fresh"] == ["bayes", "features of entities", "hunts and races"]
    assert changing.learn().returncode == 0
    changing.define()
    assert changing.learn().returncode == 3
    assert changing.upgrade()[0]["epoch"] == 2
    assert changing.learn().returncode == 0


def test_an_edit_restarts_the_slots_whose_code_it_reaches(changing: Changing) -> None:
    """A constant that an own class reads: a learner refuses, and an upgrade starts that slot alone fresh."""
    changing.define(challengers="{'tree': trees, 'own': own}")
    changing.upgrade()
    assert changing.learn().returncode == 0
    changing.define(challengers="{'tree': trees, 'own': own}", times=2)
    refused = changing.learn()
    assert refused.returncode == 3
    assert f"{changing.name}.py changed, slot own changed; fix: Run `stream-app upgrade" in refused.stderr
    (done,) = changing.upgrade()
    assert done["carried"][:2] == ["champion", "tree"]
    assert done["fresh"] == ["own", "hunts and races"]
    changing.define(challengers="{'tree': trees, 'own': own}", times="2  # twice")
    assert changing.learn().returncode == 3, "a comment is another source, too"
    (done,) = changing.upgrade()
    assert (done["carried"][:2], done["fresh"][0]) == (["champion", "tree"], "own")
    assert changing.learn().returncode == 0


def test_an_upgrade_that_was_cut_off_is_run_again(changing: Changing) -> None:
    """Between the epoch record and its snapshot no learner starts, and the next upgrade repairs it."""
    changing.define(grace=20)
    changing.upgrade()
    newest = max((changing.directory / "snapshots").rglob("*.snapshot"))
    newest.unlink()
    halted = changing.learn()
    assert halted.returncode == 3
    assert "upgrade" in halted.stderr
    (again,) = changing.upgrade()
    assert (again["epoch"], again["carried"][0]) == (2, "champion")
    assert changing.learn().returncode == 0


def test_what_cannot_be_carried_is_refused(changing: Changing) -> None:
    """Another task, and batches that no snapshot holds, are refused with the way out; nothing is written."""
    changing.define(task="regression")
    refused = changing.run("upgrade", changing.target, "--no-admission")
    assert (refused.returncode, "Another task needs another name" in refused.stderr) == (3, True)
    for snapshot in (changing.directory / "snapshots").rglob("*.snapshot"):
        snapshot.unlink()
    changing.define(grace=20)
    refused = changing.run("upgrade", changing.target, "--no-admission")
    assert (refused.returncode, "--exit-when-idle" in refused.stderr) == (3, True)
    changing.define()
    assert changing.learn().returncode == 0
