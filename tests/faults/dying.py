"""`stream-app` in processes that die at a named point of each swap, once for each swap.

    python -m tests.faults.dying POINT MEMORY ARGUMENTS…

MEMORY is a file with the swaps at which one has died already. The next one passes them and goes on to the
next swap, until enough have died and one ends by itself; its exit code is ours. Nothing of this is in the
product: the seams are replaced from outside.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import orjson

from stream_app.adapters import kafka_writer, redis_view, snapshot_store
from stream_app.cli import learn  # noqa: F401
from stream_app.cli.main import main
from stream_app.learner.batch import emit
from stream_app.ports import Commit
from stream_app.wiring import learner as wiring  # noqa: F401  # what a life needs, imported once
from tests.lengths import length

POINTS = (
    "in-step", "before-begin", "after-begin", "after-first-send", "after-last-send", "after-offsets",
    "after-commit", "before-view", "after-view", "before-snapshot", "after-snapshot",
)  # fmt: skip
MOST_LIVES = 60
MOST_DEATHS = length(
    2, MOST_LIVES, MOST_LIVES
)  # one within a swap, one within a rollback, or at each of them


class Death:
    """Dies at its point while a swap is on its way that it has not died of before."""

    def __init__(self, point: str, memory: Path) -> None:
        self.point, self.memory = point, memory
        self.swap: str | None = None

    def watch(self, commit: Commit) -> None:
        """Take note whether this transaction carries a swap or a rollback."""
        for send in commit.others:
            if send.topic == "models" and send.key is not None and send.key.endswith(b"/champion"):
                receipt = orjson.loads(send.value or b"{}")
                if receipt["parent"] is not None and receipt["evidence"]:
                    self.swap = f"{receipt['version']}@{receipt['time_ms']}"

    def at(self, point: str, swap: str | None = None) -> None:
        """The process is at a point now, with the swap that is on its way unless told of another."""
        swap = swap or self.swap
        if point != self.point or swap is None:
            return
        died = self.memory.read_text().split() if self.memory.exists() else []
        if swap not in died and len(died) < MOST_DEATHS:
            self.memory.write_text("\n".join([*died, swap]))
            die()
        if point in ("after-view", "after-snapshot", "after-commit"):
            self.swap = None


def die() -> NoReturn:
    """As kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class DyingProducer:
    """The transactional producer, with its points."""

    def __init__(self, inner: Any, death: Death) -> None:
        self.inner, self.death = inner, death

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def begin_transaction(self) -> None:
        self.death.at("before-begin")
        self.inner.begin_transaction()
        self.death.at("after-begin")

    def produce(self, *arguments: Any, **options: Any) -> None:
        self.inner.produce(*arguments, **options)
        self.inner.flush(5)  # it has really left: an open transaction holds it
        self.death.at("after-first-send")

    def send_offsets_to_transaction(self, *arguments: Any) -> None:
        self.inner.flush(5)
        self.death.at("after-last-send")
        self.inner.send_offsets_to_transaction(*arguments)
        self.death.at("after-offsets")

    def commit_transaction(self, *arguments: Any) -> None:
        self.inner.commit_transaction(*arguments)
        self.death.at("after-commit")


def arm(death: Death) -> None:
    """Put the points into the seams."""
    writer, view, store = kafka_writer.KafkaWriter, redis_view.RedisView, snapshot_store.FileSnapshots
    init, commit, write, save = writer.__init__, writer.commit, view.write, store.save
    model = emit.Emitter.model

    def new(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        self.producer = DyingProducer(self.producer, death)

    def committing(self: Any, what: Commit, group: bytes | None) -> int | None:
        death.watch(what)
        return commit(self, what, group)

    def showing(self: Any, *arguments: Any) -> str:
        death.at("before-view")
        outcome = write(self, *arguments)
        death.at("after-view")
        return outcome

    def saving(self: Any, *arguments: Any) -> int:
        death.at("before-snapshot")
        size = save(self, *arguments)
        death.at("after-snapshot")
        return size

    def telling(self: Any, told: Any) -> None:
        model(self, told)
        if told.serving and told.parent is not None:
            death.at("in-step", f"{told.version}@{told.time_ms}")

    seams = (
        (writer, "__init__", new),
        (writer, "commit", committing),
        (view, "write", showing),
        (store, "save", saving),
        (emit.Emitter, "model", telling),
    )
    for owner, name, replacement in seams:
        setattr(owner, name, replacement)


def live(point: str, memory: Path) -> int:
    """One life in a process of its own; its exit code. Forked: to import all anew would take half of it."""
    child = os.fork()
    if child == 0:
        arm(Death(point, memory))
        main()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    point, memory = sys.argv[1], Path(sys.argv[2])
    sys.argv = ["stream-app", *sys.argv[3:]]
    os.setsid()  # so that its lives can be ended together
    for _ in range(MOST_LIVES):
        code = live(point, memory)
        if code != -signal.SIGKILL:
            sys.exit(code)
    sys.exit("it dies again and again")
