"""A server process that outlives its starter: known by pid and start time, since pids are used again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from stream_app.adapters.clock import SystemClock
from stream_app.embedded.guard import claimed
from stream_app.errors import Refused

POLL_S = 0.05
SIGKILL_WITHIN_S = 10.0
TAIL_CHARACTERS = 1_500
# Started by this very process: kept so that their exits are collected, else each would stay a zombie.
CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


class Running(msgspec.Struct, frozen=True):
    """`started` is the kernel's start time of the process: clock ticks (Linux) or its text (elsewhere)."""

    pid: int
    started: str
    port: int


def started(pid: int) -> str | None:
    """The start mark of a process; None for one that is gone."""
    if not Path("/proc/self/stat").exists():
        command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    state, threads, start = fields[0], int(fields[17]), fields[19]
    # A killed JVM's first thread is a zombie while the others still hold its port and its files.
    return None if state in "ZX" and threads <= 1 else start


def boot() -> str:
    """An id of this boot, empty where the system has none: start times count from the boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def alive(server: Running | None) -> bool:
    """Whether it is this very process that lives, not another under its old pid."""
    if server is None:
        return False
    child = CHILDREN.get(server.pid)
    if child is not None and child.poll() is not None:
        del CHILDREN[server.pid]
    return started(server.pid) == server.started


def spawn(command: list[str], log: Path, port: int, environment: Mapping[str, str] | None = None) -> Running:
    """Start a server in a session of its own, in its log's directory; it writes to nothing but its log.

    The log of the run before is kept under `<log>.1`.

    Raises:
        Refused: a server that nobody remembers works in that directory.
    """
    with claimed(log.parent) as claim:
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("wb") as out:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                pass_fds=(claim.fileno(),),
            )
        claim.write(str(child.pid))
    CHILDREN[child.pid] = child
    return Running(child.pid, started(child.pid) or "", port)


def wait_until(answers: Callable[[], bool], server: Running, log: Path, within_s: float, name: str) -> None:
    """Return once the server answers.

    Raises:
        Refused: it ended, or is silent for `within_s`; its log's last lines are in the message.
    """
    clock = SystemClock()
    deadline_s = clock.monotonic() + within_s
    while not answers():
        if not alive(server):
            what = "ended before it could answer"
        elif clock.monotonic() > deadline_s:
            what = f"(pid {server.pid}) does not answer within {within_s:.0f} s"
        else:
            time.sleep(POLL_S)
            continue
        tail = log.read_text(errors="replace")[-TAIL_CHARACTERS:].strip() if log.exists() else ""
        raise Refused(
            f"the embedded {name} {what}; its last words:\n{tail}\n",
            f"See {log}; then `stream-app services down` and `up`",
        )


def end(server: Running | None, patience_s: float) -> None:
    """SIGTERM, then SIGKILL after `patience_s`; returns once it is gone.

    Raises:
        Refused: it is another user's, or not even SIGKILL ends it.
    """
    clock = SystemClock()
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, SIGKILL_WITHIN_S)):
        if server is None or not alive(server):
            return
        try:
            os.kill(server.pid, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise Refused(f"process {server.pid} is another user's", "Stop it as that user") from error
        deadline_s = clock.monotonic() + wait_s
        while alive(server) and clock.monotonic() < deadline_s:
            time.sleep(POLL_S)
    if server is not None and alive(server):
        raise Refused(f"process {server.pid} survives SIGKILL", "It hangs in the kernel; look at its disk")
