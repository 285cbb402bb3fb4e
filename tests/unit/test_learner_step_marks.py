"""The marks of what a shard was doing outlive a process, and need no disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream_app.learner.step_marks import RESTING, STEPPING, StepMarks, marks_file


def test_another_process_reads_each_mark_once() -> None:
    """By the file's descriptor, as a child of the supervisor inherits it."""
    with marks_file() as file:
        for shard, mark in ((0, RESTING), (3, STEPPING)):
            StepMarks(file.fileno()).set(shard, mark)
        after = StepMarks(file.fileno())
        assert [after.claim(shard) for shard in (0, 1, 3, 3)] == [RESTING, 0, STEPPING, 0]


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")
def test_a_full_disk_does_not_stop_them() -> None:
    """The file is in memory: on a full disk a learner would die at each record."""
    with marks_file() as file:
        assert Path(f"/proc/self/fd/{file.fileno()}").readlink().name.startswith("memfd:")
