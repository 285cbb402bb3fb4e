"""What the dashboard is looked at with: learners on real Kafka, a concept that turns over, ops processes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
from kafka import KafkaProducer
from river.datasets import synth

from stream_app.client import EventProducer
from stream_app.embedded.ports import free_ports
from tests.integration.learners import Defined, Learners
from tests.integration.serving import learning, until

ADMIN = "an admin token for the length of a test"
READ = "a reading token for the length of a test"
TURN = 1_200  # the event from which on every label is the opposite
QUICK, CALM = 200.0, 12.0  # events a second until a while after the turn, and from then on
READY_WITHIN_S = 120.0  # it joins a group and reads its tables
BLENDED = 2_500
BEHIND = 20  # events by which labels are late
HOSTILE = "<img src=x onerror=hacked=1><script>hacked=1</script>"  # a name may have 64 characters
DEFINITION = """
from river import linear_model, naive_bayes, preprocessing, tree
from stream_app import features as f
from stream_app.application import Application, Blend, Labels, SwapPolicy
def model(seed): return preprocessing.StandardScaler() | linear_model.LogisticRegression()
def define(name, task, **more):
    return Application(name=name, task=task, labels=Labels(horizon="1h"), **more)
turning = define(
    NAME + "-turning", "binary", champion=model,
    challengers={"tree": lambda seed: tree.HoeffdingTreeClassifier()},
    features=[f.mean("amount", window="10m")],
)
hostile = define(
    NAME + "-hostile", "multiclass", champion=lambda seed: tree.HoeffdingTreeClassifier(),
    challengers={"bayes": lambda seed: naive_bayes.GaussianNB()},
    swap=SwapPolicy(policy="never"),
)
blended = define(
    NAME + "-blended", "binary", champion=model, serve=Blend(),
    challengers={"tree": lambda seed: tree.HoeffdingTreeClassifier()},
)
empty = define(NAME + "-empty", "binary", champion=model)
"""


class Scene:
    """Four applications: one that learns and swaps, one full of hostile names, a blend, one empty."""

    def __init__(self, learners: Learners, quick: float, calm: float) -> None:
        self.learners, self.quick, self.calm = learners, quick, calm
        file = learners.directory / f"scene_{learners.call.name}.py"
        file.write_text(f"NAME = {learners.call.name!r}\n{DEFINITION}")
        name = learners.call.name
        self.turning, self.hostile, self.blended, self.empty = (
            Defined(f"{name}-{part}", f"{file}:{part}", part, 1)
            for part in ("turning", "hostile", "blended", "empty")
        )
        for app in self.all:
            done = learners.call("topics", "create", app.target)
            assert done.code == 0, done.err
        self.over = threading.Event()

    @property
    def all(self) -> tuple[Defined, ...]:
        """All applications."""
        return self.turning, self.hostile, self.blended, self.empty

    def begin(self) -> None:
        """Statistics from before the turn: a chart marks what differs from one record to the next."""
        with EventProducer(self.turning.name, self.learners.servers) as producer:
            producer.send("e0", {"amount": 0.5, "hour": 0.5}, "first")
        until(lambda: self.learners.committed(self.turning, "stats"), "the first statistics are there")

    def feed(self) -> None:
        """Send events and, a little later, their labels, until the scene is over."""
        before, after = (iter(synth.Sine(classification_function=n, seed=7 + n)) for n in (0, 1))
        waiting: list[tuple[str, str, bool]] = []
        with EventProducer(self.turning.name, self.learners.servers) as producer:
            number = 0
            while not self.over.is_set():
                x, y = next(before if number < TURN else after)
                key = f"e{number % 20}"
                producer.send(key, {"amount": float(x[0]), "hour": float(x[1])}, f"n{number}")
                waiting.append((key, f"n{number}", bool(y)))
                if len(waiting) > BEHIND:
                    producer.label(*waiting.pop(0))
                if number % 200 == 0:
                    producer.label(key, f"nobody-{number}", "a class of another task")
                number += 1
                time.sleep(1 / (self.quick if number < 2 * TURN else self.calm))

    def blend(self) -> None:
        """Events with their labels for the blend, more than a rolling score is of."""
        with EventProducer(self.blended.name, self.learners.servers) as producer:
            for number in range(BLENDED):
                producer.send("e", {"x": float(number % 7), "y": 1.0}, f"b{number}", number % 7 < 4)

    def poison(self) -> None:
        """Events, classes, dead letters and an alert whose names would be markup."""
        app = self.hostile.name
        with EventProducer(app, self.learners.servers) as producer:
            for number in range(400):
                label = HOSTILE if number % 2 else "plain"
                producer.send("e", {HOSTILE: float(number % 2), "x": 1.0}, f"h{number}", label)
            for number in range(5):
                producer.send("e", {HOSTILE: "a string now", "x": 1.0}, f"bad{number}", "plain")
        alert = {
            "v": 1,
            "alert_id": f"{app}/{HOSTILE}",
            "type": "drift",
            "severity": "warning",
            "shard": 0,
            "time_ms": int(time.time() * 1000),
            "message": HOSTILE,
            "evidence": {HOSTILE: [HOSTILE]},
            "runbook": "javascript:hacked=1",
        }
        plain = KafkaProducer(bootstrap_servers=self.learners.servers)
        plain.send(f"{app}.alerts", orjson.dumps(alert), b"hostile", partition=0)
        plain.flush()
        plain.close()


@contextmanager
def playing(learners: Learners, quick: float = QUICK, calm: float = CALM) -> Iterator[Scene]:
    """A scene whose learners run and whose concept turns over, ended at the end."""
    scene = Scene(learners, quick, calm)
    thread = threading.Thread(target=scene.feed, daemon=True)
    targets = (scene.turning.target, scene.hostile.target, scene.blended.target)
    with ExitStack() as stack:
        for target in targets:
            stack.enter_context(learning(learners, target))
        scene.begin()
        thread.start()
        scene.blend()
        scene.poison()
        try:
            yield scene
        finally:
            scene.over.set()
            thread.join(20)


class Ops:
    """One `stream-app ops` process on a port that it has again after a restart."""

    def __init__(self, learners: Learners, *targets: str, **settings: str) -> None:
        (self.port,) = free_ports(0)
        self.learners, self.targets = learners, targets
        self.settings = {f"STREAM_APP_OPS__{name.upper()}": value for name, value in settings.items()}
        self.address = f"http://127.0.0.1:{self.port}"
        self.log: Path = learners.directory / f"ops-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, and wait until its boards are filled from its tables."""
        environment = self.learners.call.environment
        before = dict(environment)
        environment.update(self.settings)
        try:
            with self.log.open("ab") as out:
                arguments = ("stream_app", "ops", *self.targets, "--port", str(self.port))
                self.process = self.learners.spawn(*arguments, stderr=out)
        finally:
            environment.clear()
            environment.update(before)
        deadline_s = time.monotonic() + READY_WITHIN_S
        while not self.ready():
            assert time.monotonic() < deadline_s, self.log.read_text()[-3_000:]
            time.sleep(0.2)

    def ready(self) -> bool:
        """Whether it serves."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3_000:]
        try:
            return httpx.get(f"{self.address}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def board(self, app: str) -> dict[str, Any]:
        """What the page is told."""
        headers = {"Authorization": f"Bearer {ADMIN}"}
        found: dict[str, Any] = httpx.get(f"{self.address}/v1/board/{app}?shard=0", headers=headers).json()
        return found

    def end(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(15)


@contextmanager
def watching(learners: Learners, *apps: Defined, **settings: str) -> Iterator[Ops]:
    """An ops process that is ready, ended at the end."""
    ops = Ops(learners, *(app.target for app in apps), **settings)
    try:
        ops.start()
        yield ops
    finally:
        ops.end()
