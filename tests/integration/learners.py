"""Applications by the dozen: defined in one file, created, learned two at a time, read back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson

from stream_app.client import CommittedReader
from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine
from tests.warm import WarmProcess

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
END_WITHIN_S = 200.0
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
            STREAM_APP_SIGNING__KEYS="5a" * 32,
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

    def environment(self) -> dict[str, str]:
        """What a process of this checkout runs under, now: tests change it between two starts."""
        return {**os.environ, **self.call.environment, "PYTHONHASHSEED": "0"}

    def spawn(self, module: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """A module of this checkout as a process of its own, under the pinned hash seed."""
        return WarmProcess(module, *arguments, cwd=ROOT, env=self.environment(), **options)

    def pinned(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command that pins the hash seed, which a process of its own has to do."""
        process = self.spawn("stream_app", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=END_WITHIN_S)
        return subprocess.CompletedProcess(words, process.returncode, out.decode(), err.decode())

    def spawn_cold(self, module: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """The same, started by a new Python: for tests of how a program starts."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, env=self.environment(), **options
        )

    def finish(self, process: subprocess.Popen[bytes], within_s: float = END_WITHIN_S) -> bytes:
        """Its stdout, once it has ended well."""
        try:
            out, err = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        told = (err or b"")[-3_000:].decode()
        assert process.returncode == 0, f"{process.args!r} ended with {process.returncode}:\n{told}"
        return bytes(out or b"")

    def learn(self, apps: Iterable[Defined]) -> None:
        """Run each application's learner until all that is written is learned, `AT_ONCE` at a time."""
        targets = [app.target for app in apps]
        running = [
            self.spawn("tests.integration.in_turn", *targets[n::AT_ONCE], stderr=subprocess.PIPE)
            for n in range(AT_ONCE)
        ]
        try:
            for process in running:
                self.finish(process)
        finally:
            for process in running:
                process.kill()
                process.communicate()

    def committed(self, app: Defined, topic: str) -> list[dict[str, Any]]:
        """What is committed in one of the application's topics, decoded, partition by partition."""
        with CommittedReader(self.servers, f"{app.name}.{topic}", until_end=True) as reader:
            records = sorted(reader, key=lambda record: (record.partition, record.offset))
        return [orjson.loads(record.value) for record in records]

    def judge(self, order: str, apps: Iterable[Defined]) -> None:
        """Compare what each shard committed with the independent program's answer, to the bit."""
        named = {app.name: app for app in apps}
        arguments = ("tests.integration.oracle", order, self.servers, *named)
        oracle = self.spawn(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        answers = map(orjson.loads, self.finish(oracle).splitlines())
        expected = {(name, shard): predictions for name, shard, predictions in answers}
        assert len(expected) == sum(app.shards for app in named.values())
        for app in named.values():
            committed = self.committed(app, "predictions")
            for shard in range(app.shards):
                wanted = expected[app.name, shard]
                fields = tuple(wanted[0]) if wanted else ()
                ours = [{name: p.get(name) for name in fields} for p in committed if p["shard"] == shard]
                assert not first_difference(ours, wanted, f"{app.target}, shard {shard}, by the {order}")


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
