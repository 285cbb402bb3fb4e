"""A small parent that restarts its child, so that crash-only is safe."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import FrameType

import structlog

BACKOFF_FIRST_S = 0.2
BACKOFF_LAST_S = 2.0
HEALTHY_AFTER_S = 30.0  # a child that lived this long starts the back-off anew
FINAL_CODES = {0, 2, 3}  # done, a wrong call, a refusal: a restart would end the same way
log = structlog.get_logger()


def supervise(command: list[str]) -> int:
    """Run `command` until it ends for good and give its exit code; SIGTERM and SIGINT are passed on once."""
    stopping = False
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if child is not None:
            child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    backoff_s = BACKOFF_FIRST_S
    while True:
        started_s = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        if stopping:  # the signal came while there was no child to take it
            child.send_signal(signal.SIGTERM)
        code = child.wait()
        if code in FINAL_CODES or stopping:
            return code if code >= 0 else 128 - code
        if time.monotonic() - started_s > HEALTHY_AFTER_S:
            backoff_s = BACKOFF_FIRST_S
        log.error(
            "learner died, restarting",
            code=code,
            backoff_s=backoff_s,
            command=command[-1],
            python=sys.version_info[:2],
        )
        time.sleep(backoff_s)
        backoff_s = min(BACKOFF_LAST_S, backoff_s * 2)
