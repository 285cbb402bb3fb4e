"""Learner processes as a person runs them (`stream-app learn TARGET`), their logs, signals and the judge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.embedded.services import Endpoints
from tests import warm
from topics.catalog import catalog

ROOT = Path(__file__).parents[2]
DEFINITIONS = Path(__file__).with_name("definitions.py")
KEY = "5a" * 32
WITHIN_S = 60.0


class Run:
    """One application on these servers: its definition, its topics, its snapshots, its learners."""

    def __init__(
        self, services: Endpoints, directory: Path, kind: str, shards: int = 4, **environment: str
    ) -> None:
        run = uuid4().hex[:8]
        self.kind, self.name, self.shards = kind, f"{kind}-{run}", shards
        self.servers, self.redis_url = services.bootstrap_servers, services.redis_url
        self.directory = directory
        self.snapshots = directory / f"snapshots-{run}"
        self.target = f"{DEFINITIONS}:{kind}"
        self.environment = {
            **os.environ,
            "FAULTS_RUN": run,
            "FAULTS_SHARDS": str(shards),
            "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": self.servers,
            "STREAM_APP_REDIS__URL": self.redis_url,
            "STREAM_APP_SIGNING__KEYS": KEY,
            "STREAM_APP_SNAPSHOTS__URL": str(self.snapshots),
            **environment,
        }
        self.learners: list[Learner] = []
        with TopicAdmin({"bootstrap_servers": [self.servers]}) as admin:
            admin.create(catalog(self.name, shards))

    def learner(self, *options: str) -> Learner:
        """Start one more."""
        self.learners.append(Learner(self, len(self.learners), options))
        return self.learners[-1]

    def drain(self) -> Learner:
        """Run a learner until all inputs are learned; it must end well."""
        learner = self.learner("--exit-when-idle", "0.5")
        assert learner.wait(120) == 0, learner.tail()
        return learner

    def judge(self, *options: str) -> dict[str, Any]:
        """What the judge finds."""
        command = ("tests.faults.judge", self.servers, self.target, *options)
        environment = {**self.environment, "PYTHONHASHSEED": "0"}
        done = warm.run(*command, cwd=ROOT, env=environment, text=True, timeout=180)
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == int(bool(report["violation_count"]))
        return report

    def verify(self, within_s: float = 180) -> list[dict[str, Any]]:
        """`stream-app verify`, under another hash seed than the learners were asked for."""
        command = [sys.executable, "-m", "stream_app", "verify", self.target, "--json"]
        environment = {**self.environment, "PYTHONHASHSEED": "17"}
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=within_s,
        )
        assert done.returncode == 0, done.stderr[-3_000:] + done.stdout
        return [json.loads(line) for line in done.stdout.splitlines()]

    def tails(self) -> str:
        """How the logs of all end: what one waits for may be another's doing."""
        return "\n".join(f"{learner.stderr.name}:\n{learner.tail()}" for learner in self.learners)

    def end(self) -> None:
        """End every process that is left."""
        for learner in self.learners:
            learner.end()


class Learner:
    """One supervised learner; `options` go to `stream-app learn`."""

    def __init__(self, run: Run, number: int, options: tuple[str, ...]) -> None:
        self.run = run
        self.stderr = run.directory / f"{run.name}-{number}.log"
        command = ("stream_app", "learn", run.target, "--no-admission", *options)
        environment = {**run.environment, "PYTHONHASHSEED": "0"}
        with self.stderr.open("wb") as out:
            self.process = warm.WarmProcess(*command, cwd=run.directory, env=environment, stderr=out)

    def children(self) -> list[psutil.Process]:
        try:
            return list(psutil.Process(self.process.pid).children())
        except psutil.NoSuchProcess:
            return []

    def kill_child(self) -> int | None:
        """SIGKILL what does the work, not its supervisor; its pid, or None where there is none just now."""
        for child in self.children():
            child.kill()
            return int(child.pid)
        return None

    def log(self) -> list[dict[str, Any]]:
        """Its log lines; what is no JSON (a half-written line, a traceback) is left out."""
        found = []
        for line in self.stderr.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found

    def log_of_child(self) -> list[dict[str, Any]]:
        """What was logged since the supervisor last restarted it."""
        lines = self.log()
        died = [i for i, line in enumerate(lines) if line["event"] == "learner died, restarting"]
        return lines[died[-1] + 1 :] if died else lines

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [line for line in self.log() if line["event"] == name]

    def until(self, holds: Callable[[list[dict[str, Any]]], bool], within_s: float = WITHIN_S) -> None:
        """Wait until the log says so."""
        until(lambda: holds(self.log()), within_s, self.run.tails)

    def wait(self, within_s: float) -> int:
        return self.process.wait(within_s)

    def stop(self, within_s: float = WITHIN_S) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(within_s)

    def tail(self) -> str:
        return self.stderr.read_text(errors="replace")[-3_000:]

    def end(self) -> None:
        if self.process.poll() is None:
            children = self.children()
            self.process.kill()
            for child in children:
                child.kill()
            self.process.wait(10)


def until(holds: Callable[[], bool], within_s: float, told: Callable[[], str] = str) -> None:
    """Wait for a condition; a test that waits in vain says what was told meanwhile."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {told()}"
        time.sleep(0.05)


@contextmanager
def running(services: Endpoints, directory: Path, kind: str, **options: Any) -> Iterator[Run]:
    """An application whose processes all end with the test."""
    run = Run(services, directory, kind, **options)
    try:
        yield run
    finally:
        run.end()
