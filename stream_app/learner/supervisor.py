"""A small parent that restarts its child, so that crash-only is safe."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from itertools import count

import structlog

from stream_app.ports import Clock

BACKOFF_FIRST_S = 0.2
BACKOFF_LAST_S = 2.0
HEALTHY_AFTER_S = 30.0  # a child that lived this long starts the back-off again
FINAL_CODES = {0, 2, 3}  # done, a wrong call, a refusal: a restart would end the same way
log = structlog.get_logger()


def supervise(command: list[str], clock: Clock, *files: int) -> int:
    """Run `command` until it ends for good and give its exit code; SIGTERM and SIGINT are passed on.

    Its last argument is which life it is, from 1: only the first checks what a restart need not check again.
    It inherits `files`.
    The child's stdin is a pipe that no one writes to: it closes when this process ends, however that is, and
    so the child learns that it is alone (`watch_parent`).
    """
    stopping = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def pass_on(*_: object) -> None:
        stopping.set()
        if child is not None:
            child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    backoff_s = BACKOFF_FIRST_S
    for life in count(1):
        started_s = clock.monotonic()
        with subprocess.Popen([*command, str(life)], stdin=subprocess.PIPE, pass_fds=files) as started:
            child = started
            if stopping.is_set():  # the signal came while there was no child to take it
                child.send_signal(signal.SIGTERM)
            code = child.wait()
        if stopping.is_set() and code == -signal.SIGTERM:
            return 0  # asked to stop before it had begun
        if code in FINAL_CODES or stopping.is_set():
            return code if code >= 0 else 128 - code
        if clock.monotonic() - started_s > HEALTHY_AFTER_S:
            backoff_s = BACKOFF_FIRST_S
        log.error("learner died, restarting", code=code, backoff_s=backoff_s)
        stopping.wait(backoff_s)
        if stopping.is_set():
            return 0
        backoff_s = min(BACKOFF_LAST_S, backoff_s * 2)
    raise AssertionError("unreachable")


def watch_parent(stdin: int, stop: threading.Event) -> None:
    """Stop gracefully once the supervisor is gone: its child must not live on where no one looks for it."""

    def wait() -> None:
        # By descriptor: a thread inside the buffered reader would make the interpreter abort at its end.
        while os.read(stdin, 1):
            pass
        log.warning("the supervisor is gone, leaving")
        stop.set()

    threading.Thread(target=wait, name="parent", daemon=True).start()
