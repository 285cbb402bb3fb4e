"""What a supervisor's next child learns of the end of the one before."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from stream_app.adapters.clock import SystemClock
from stream_app.learner.step_marks import RESTING, STEPPING, StepMarks
from stream_app.learner.supervisor import supervise

CHILD = """
import os, signal, sys
from stream_app.learner.step_marks import RESTING, STEPPING, StepMarks
marks, life = StepMarks(int(sys.argv[1])), int(sys.argv[2])
with open("told", "a") as told:
    told.write(f"{[marks.take(shard) for shard in (0, 1, 2)]}\\n")
if life < 3:
    marks.set(0, RESTING)
    marks.set(1, STEPPING)
    marks.set(1, RESTING if life == 2 else STEPPING)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def handlers() -> Iterator[None]:
    """The signal handlers that a supervisor sets end with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_child_knows_which_shards_the_one_before_was_stepping_when_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SIGKILL, under the real supervisor: nothing at first, then the last mark of each shard."""
    monkeypatch.chdir(tmp_path)
    with TemporaryFile() as file:
        command = [sys.executable, "-c", CHILD, str(file.fileno())]
        assert supervise(command, SystemClock(), file.fileno()) == 0
    told = (tmp_path / "told").read_text().splitlines()
    assert told == ["[0, 0, 0]", f"[{RESTING}, {STEPPING}, 0]", f"[{RESTING}, {RESTING}, 0]"]


def test_a_mark_is_told_once_and_without_a_file_nothing_is_known() -> None:
    """A shard that comes back to the same process has its own failures to go by."""
    with TemporaryFile() as file:
        os.pwrite(file.fileno(), bytes([STEPPING]), 0)
        marks = StepMarks(file.fileno())
        assert [marks.take(0), marks.take(0)] == [STEPPING, 0]
    StepMarks().set(0, STEPPING)
    assert StepMarks().take(0) == 0
