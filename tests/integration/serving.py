"""Predictor processes and the applications that they serve; shared by tests of routes and of faults."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from stream_app.client import EventProducer
from stream_app.embedded.ports import free_ports
from tests.integration.command_line import CommandLine
from tests.integration.learners import Defined, Learners

WITHIN_S = 60.0
KEYS = 24
HOUR_MS = 3_600_000
TASKS = ("binary", "multiclass", "regression", "anomaly")
DEFINITION = """
from river import anomaly, linear_model, naive_bayes, preprocessing, tree
from stream_app import features as f
from stream_app.application import Application, Labels
MODELS = {
    "binary": lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "multiclass": lambda seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed),
    "regression": lambda seed: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    "anomaly": lambda seed: preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=5, seed=seed),
}
def define(name, task, shards):
    return Application(
        name=name, task=task, shards=shards, champion=MODELS[task],
        labels=None if task == "anomaly" else Labels(horizon="30d"),
        features=[f.count(window="10m"), f.mean("x", window="1h"), f.last("w"), f.distinct("w", window="1d")],
    )
"""


def until(claim: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> Any:
    """The first true answer, within a minute unless told otherwise."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            found = claim()
        except httpx.HTTPError:
            found = None
        if found:
            return found
        time.sleep(0.1)
    pytest.fail(f"not within {within_s:.0f} s: {what}")


class Serves:
    """`stream-app serve` processes, each on a port of its own; `get` and `post` speak to one."""

    def __init__(self, learners: Learners, target: str, *flags: str) -> None:
        (port,) = free_ports(0)
        self.address = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.address, timeout=5.0)
        self.process = learners.spawn("stream_app", "serve", target, "--port", str(port), *flags)

    def ready(self) -> None:
        """Wait for a verified model of every shard."""
        until(lambda: self.http.get("/readyz").status_code == 200, f"{self.address} is ready")

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """The answer to a body, which is a success."""
        response = self.http.post(path, json=body)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def end(self) -> int:
        """Its exit code after SIGTERM."""
        self.http.close()
        self.process.terminate()
        return self.process.wait(15)


@contextmanager
def serving(learners: Learners, *targets: str) -> Iterator[list[Serves]]:
    """Predictors, one for each target, ended at the end."""
    running = [Serves(learners, target) for target in targets]
    try:
        yield running
    finally:
        codes = [one.end() for one in running]
    assert set(codes) <= {0}


@contextmanager
def learning(learners: Learners, target: str) -> Iterator[subprocess.Popen[bytes]]:
    """A learner that runs, ended at the end."""
    process = learners.spawn("stream_app", "learn", target, "--no-supervise", "--no-admission")
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def defined(learners: Learners, cases: Mapping[str, tuple[str, int]]) -> dict[str, Defined]:
    """Applications by label → (task, shards), their topics created."""
    call: CommandLine = learners.call
    lines, apps = [DEFINITION], dict[str, Defined]()
    learners.files += 1
    file = learners.directory / f"served_{call.name}_{learners.files}.py"
    for place, (label, (task, shards)) in enumerate(cases.items()):
        name = f"{call.name}-s{learners.files}-{place}"
        lines.append(f"app{place} = define({name!r}, {task!r}, {shards})\n")
        apps[label] = Defined(name, f"{file}:app{place}", task, shards)
    file.write_text("".join(lines))
    for app in apps.values():
        done = call("topics", "create", app.target)
        assert done.code == 0, done.err
    return apps


def row(n: int) -> dict[str, Any]:
    """An event's own features."""
    return {"x": (n * 37 % 101) / 10, "w": n % 3, "z": n % 2 == 0}


def label(task: str, n: int) -> Any:
    """An event's label."""
    x = float(row(n)["x"])
    if task == "multiclass":
        return "low" if x < 3 else "mid" if x < 6 else "high"
    return x > 5 if task == "binary" else 2 * x + 1


def produce(learners: Learners, app: Defined, n: int, start_ms: int) -> None:
    """Labelled events over the entities, a second apart."""
    with EventProducer(app.name, learners.servers) as producer:
        for place in range(n):
            key, time_ms = f"e{place % KEYS}", start_ms + 1_000 * place
            said = {} if app.model == "anomaly" else {"label": label(app.model, place)}
            producer.send(key, row(place), f"first:{place}", time=time_ms, **said)
