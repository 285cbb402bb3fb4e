"""What the benchmarks share: made-up entities over real rows, servers of their own, a run's environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from river import datasets

from stream_app.embedded import services
from stream_app.embedded.kafka import FULL_JIT_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
ENTITIES = 1_000
APART_MS = 2  # event time between two events


class Made(NamedTuple):
    """One event before it is written; `label` is the row's own."""

    key: str
    event_id: str
    features: dict[str, Any]
    label: bool

    def event(self, *, inline: bool) -> bytes:
        """The event record, its label inside if `inline`."""
        value = {"v": 1, "event_id": self.event_id, "features": self.features}
        return orjson.dumps({**value, "label": self.label} if inline else value)

    def late_label(self) -> bytes:
        """The label record."""
        return orjson.dumps({"v": 1, "event_id": self.event_id, "label": self.label})


def made(n: int, entities: int = ENTITIES) -> Iterator[Made]:
    """The first n events: River's Phishing rows (9 features) over and over, dealt to the entities in turn."""
    rows = list(datasets.Phishing())
    for i, (row, label) in enumerate(islice(cycle(rows), n)):
        yield Made(f"entity-{i % entities}", f"event-{i}", row, label)


class Servers(NamedTuple):
    """Embedded servers of one run, and the settings that name them."""

    bootstrap_servers: str
    environment: dict[str, str]
    directory: Path


class Answering:
    """A module of ours in a process of its own, which answers each line with a JSON object."""

    def __init__(self, environment: dict[str, str], module: str, *arguments: str) -> None:
        self.module = f"benchmarks.{module}"
        command, pipe = [sys.executable, "-m", self.module, *arguments], subprocess.PIPE
        self.child = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe)

    def ask(self, line: bytes) -> dict[str, Any]:
        """Its answer; ends the run if it has failed."""
        assert self.child.stdin is not None  # noqa: S101  a pipe, see above
        assert self.child.stdout is not None  # noqa: S101
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.module} has failed, see above")
        told: dict[str, Any] = orjson.loads(answer)
        return told


@contextmanager
def last_core() -> Iterator[None]:
    """What is started here runs on the last core alone, where the system can say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def servers() -> Iterator[Servers]:
    """Kafka with its optimising compiler, and Valkey, in a directory that goes with them.

    They stay on the last core, as they would on machines of their own: moved about by them, what is measured
    finds another cache cold some hundred times a second.
    """
    os.environ[FULL_JIT_VARIABLE] = "1"
    with tempfile.TemporaryDirectory(prefix="stream-app-bench-") as name:
        directory = Path(name)
        try:
            with last_core():
                found = services.up(directory)
            environment = {
                **os.environ,
                "PYTHONHASHSEED": "0",
                "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": found.bootstrap_servers,
                "STREAM_APP_REDIS__URL": found.redis_url,
                "STREAM_APP_SIGNING__KEYS": found.signing_key,
                "STREAM_APP_SNAPSHOTS__URL": str(directory / "snapshots"),
            }
            yield Servers(found.bootstrap_servers, environment, directory)
        finally:
            services.down(directory)
