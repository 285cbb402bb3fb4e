"""One process at a time in a directory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stream_app.adapters.clock import SystemClock
from stream_app.errors import Refused

PATIENCE_S = 600.0  # the first start fetches 45 MB, which may take minutes on a slow line
POLL_S = 0.05
CLAIM = ".server"
CLAIM_PATIENCE_S = 2.0  # a child of a killed Valkey, which rewrites its file, may outlive it for a moment


@contextmanager
def locked(directory: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Make the directory, hold its lock; the kernel lets go of it when the holder dies.

    Raises:
        Refused: the directory cannot be written, or another holds it for longer than `patience_s`.
    """
    try:
        import fcntl  # noqa: PLC0415  absent on Windows, where importing this package must still work
    except ImportError as error:
        raise Refused(
            "the embedded services run on Linux and macOS only",
            "Name servers in STREAM_APP_KAFKA__BOOTSTRAP_SERVERS and STREAM_APP_REDIS__URL",
        ) from error
    clock = SystemClock()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (directory / ".lock").open("w")
    except OSError as error:
        raise Refused(
            f"{directory} cannot be written ({error.strerror})",
            "Name another directory: --dir or STREAM_APP_SERVICES_DIR for data, XDG_CACHE_HOME for the cache",
        ) from error
    with file:
        deadline_s = clock.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if clock.monotonic() > deadline_s:
                    raise Refused(
                        f"another start or stop has been at work in {directory} for {patience_s:.0f} s",
                        "Wait for that process, or end it",
                    ) from error
                time.sleep(POLL_S)
        yield


@contextmanager
def claimed(home: Path) -> Iterator[IO[str]]:
    """A lock for the server of `home` to inherit: held as long as it lives, whatever the state file says.

    Kafka locks its data by itself; two Valkeys would write one append-only file. The caller writes the pid.

    Raises:
        Refused: a server lives there already; its pid is named.
    """
    import fcntl  # noqa: PLC0415  absent on Windows, as above

    clock = SystemClock()
    deadline_s = clock.monotonic() + CLAIM_PATIENCE_S
    with (home / CLAIM).open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if clock.monotonic() > deadline_s:
                    file.seek(0)
                    pid = file.read().strip() or "?"
                    raise Refused(
                        f"process {pid} still works on {home}, and the state file does not know it",
                        f"End it with `kill {pid}`, then start again",
                    ) from error
                time.sleep(POLL_S)
        file.truncate(0)
        yield file
