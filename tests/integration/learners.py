"""Applications by the dozen: defined in one file, created, learned two at a time, read back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import orjson

from stream_app.client import CommittedReader
from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
LEARN_WITHIN_S = 120.0
ENTITIES = 50
HEADER = "from tests.integration.definitions import application\n"


Rows = list[tuple[dict[Any, Any], Any]]


class Defined(msgspec.Struct, frozen=True):
    """One application of a test: the topics' prefix, and the TARGET of commands."""

    name: str
    target: str
    model: str
    shards: int


class Learners:
    """Applications under names of their own, and the processes that learn them."""

    def __init__(self, services: Endpoints, directory: Path) -> None:
        self.call = CommandLine(
            services,
            directory,
            STREAM_APP_SNAPSHOTS__URL=str(directory / "snapshots"),
            STREAM_APP_SIGNING__KEYS="a key for the length of a test",
        )
        self.servers, self.directory, self.files = services.bootstrap_servers, directory, 0

    def define(self, models: Mapping[str, tuple[str, int]]) -> dict[str, Defined]:
        """Define an application for each label → (model, shards), and create its topics."""
        self.files += 1
        stem = f"{self.call.name}_{self.files}"
        defined, lines = {}, [HEADER]
        for number, (label, (model, shards)) in enumerate(models.items()):
            name = f"{self.call.name}-{self.files}-{number}"
            lines.append(f"app{number} = application({name!r}, {model!r}, {shards})\n")
            target = f"{self.directory / stem}.py:app{number}"
            defined[label] = Defined(name, target, model, shards)
        (self.directory / f"{stem}.py").write_text("".join(lines))
        for app in defined.values():
            done = self.call("topics", "create", app.target)
            assert done.code == 0, done.err
        return defined

    def produce(self, app: Defined, rows: Rows, name: str, *how: str) -> None:
        """Write rows through `stream-app produce`; event ids are NAME.jsonl:ROW."""
        file = self.directory / f"{name}.jsonl"
        lines = [{**x, "entity": f"e{n % ENTITIES}", "label": y} for n, (x, y) in enumerate(rows)]
        file.write_bytes(b"\n".join(map(orjson.dumps, lines)))
        done = self.call("produce", app.target, str(file), "--key", "entity", *how)
        assert done.code == 0, done.err

    def spawn(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """`stream-app ARGUMENTS` as a process of its own."""
        command = [sys.executable, "-m", "stream_app", *arguments]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **self.call.environment}, **options)

    def learn(self, apps: Iterable[Defined]) -> None:
        """Run each application's learner until all that is written is learned."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for failure in pool.map(self.learn_one, apps):
                assert not failure, failure

    def learn_one(self, app: Defined) -> str:
        """An empty text, or how the learner failed."""
        flags = ("--no-supervise", "--no-admission", "--exit-when-idle", "0.5")
        with self.spawn("learn", app.target, *flags, stderr=subprocess.PIPE) as learner:
            try:
                _, err = learner.communicate(timeout=LEARN_WITHIN_S)
            except subprocess.TimeoutExpired:
                learner.kill()
                _, err = learner.communicate()
        if not learner.returncode:
            return ""
        return f"the learner of {app.target} ended with {learner.returncode}:\n{err[-3000:].decode()}"

    def committed(self, app: Defined, topic: str) -> list[dict[str, Any]]:
        """What is committed in one of the application's topics, decoded, partition by partition."""
        with CommittedReader(self.servers, f"{app.name}.{topic}", until_end=True) as reader:
            records = sorted(reader, key=lambda record: (record.partition, record.offset))
        return [orjson.loads(record.value) for record in records]


def first_difference(ours: list[Any], expected: list[Any], what: str) -> str:
    """Where two lists differ first, as a message; empty if they are equal to the bit (as JSON texts)."""
    for place, (found, wanted) in enumerate(zip(ours, expected, strict=False)):
        if text(found) != text(wanted):
            return f"{what}: record {place} is\n  {text(found)}\nexpected\n  {text(wanted)}"
    if len(ours) != len(expected):
        return f"{what}: {len(ours)} records, expected {len(expected)}"
    return ""


def text(value: Any) -> str:
    """JSON with every bit of a float in it."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
