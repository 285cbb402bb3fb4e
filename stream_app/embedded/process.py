"""A server process that outlives its starter: known by pid and start time, since pids are used again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import msgspec

POLL_S = 0.05


class Running(msgspec.Struct):
    """`started` is the kernel's start time of the process in clock ticks (Linux) or its start text (elsewhere)."""

    pid: int
    started: str
    port: int


def started(pid: int) -> str | None:
    """The start mark of a living process; None for one that is gone or a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.is_dir() and Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def alive(server: Running | None) -> bool:
    """Whether it is this very process that lives, not another under its old pid."""
    return server is not None and started(server.pid) == server.started


def spawn(command: list[str], log: Path, port: int) -> Running:
    """Start a server in a session of its own; its output goes to `log`."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Running(child.pid, started(child.pid) or "", port)


def reap(pid: int) -> None:
    """Collect the exit of a child of ours; another process's child is none of our business."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def end(server: Running | None, patience_s: float) -> None:
    """SIGTERM, then SIGKILL after `patience_s`; returns once it is gone."""
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        if server is None or not alive(server):
            return
        os.kill(server.pid, number)
        deadline_s = time.monotonic() + wait_s
        while time.monotonic() < deadline_s:
            reap(server.pid)
            if not alive(server):
                return
            time.sleep(POLL_S)
