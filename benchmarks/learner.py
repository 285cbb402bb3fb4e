"""`stream-app …` with a clock that stands still while the benchmark has the process stopped.

Else what the learner does once a second, or in a share of the time, would come up to twice as often an event.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.adapters.clock import SystemClock
from stream_app.cli import main

VARIABLE = "STREAM_APP_BENCH_STOPPED"  # names a file with one double: for how many seconds it was stopped
SECONDS = struct.Struct("d")


class Stopped:
    """What the benchmark writes; `environment` tells the learner where."""

    def __init__(self, memory: mmap.mmap, path: Path) -> None:
        self.memory, self.seconds = memory, 0.0
        self.environment = {VARIABLE: str(path)}

    def add(self, seconds: float) -> None:
        """It was stopped for so long; to be said before it goes on."""
        self.seconds += seconds
        SECONDS.pack_into(self.memory, 0, self.seconds)


@contextmanager
def stopped(directory: Path) -> Iterator[Stopped]:
    """A learner's pauses, in a file of this directory that both sides map."""
    path = directory / "stopped"
    path.write_bytes(SECONDS.pack(0.0))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), SECONDS.size) as memory:
        yield Stopped(memory, path)


def stand_still() -> None:
    """Let this process's clock leave out the pauses."""
    with Path(os.environ[VARIABLE]).open("rb") as file:
        memory = mmap.mmap(file.fileno(), SECONDS.size, prot=mmap.PROT_READ)

    running = SystemClock.monotonic

    def monotonic(self: SystemClock) -> float:
        (stopped_s,) = SECONDS.unpack_from(memory)  # first: stopped in between, it jumps ahead and not back
        return running(self) - float(stopped_s)

    SystemClock.monotonic = monotonic  # type: ignore[method-assign]


if __name__ == "__main__":
    stand_still()
    main()
