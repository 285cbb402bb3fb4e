"""What each shard was doing when the process before this one ended."""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import IO

RESTING, STEPPING = 1, 2  # 0: the process never had the shard
MOST_SHARDS = 1 << 16


def marks_file() -> IO[bytes]:
    """A file for the marks; in memory where the system can, since a disk may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("step-marks"), "w+b", buffering=0)
    return TemporaryFile(buffering=0)


class StepMarks:
    """One byte for each shard in a file that the supervisor holds open, so that it outlives the process.

    Without a file (no supervisor) nothing is known of a process before this one.
    """

    def __init__(self, file: int | None = None) -> None:
        self.file = file
        left = b"" if file is None else os.pread(file, MOST_SHARDS, 0)
        self.left = dict(enumerate(left))

    def claim(self, shard: int) -> int:
        """Give once what the shard did in the previous process: this one records later failures itself."""
        return self.left.pop(shard, 0)

    def set(self, shard: int, mark: int) -> None:
        """Write down what the shard does now; the page cache keeps it, however the process ends."""
        if self.file is not None:
            os.pwrite(self.file, bytes([mark]), shard)
