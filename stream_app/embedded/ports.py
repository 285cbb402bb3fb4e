"""Loopback ports that stay: the wanted ones where they are free, else others."""

from __future__ import annotations

import secrets
import socket

LOOPBACK = "127.0.0.1"
# Below the range that outgoing connections take theirs from: a client that keeps trying a dead server's port
# would else now and then be given that very port as its own, connect to itself, and keep the server out.
LOWEST, HIGHEST = 20_000, 32_767
TRIES = 100


def free_ports(*wanted: int) -> list[int]:
    """As many different ports as are wanted; 0 stands for any."""
    sockets: list[socket.socket] = []
    try:
        for port in wanted:  # held open together, so that they differ
            held = bound(port) or any_port()
            sockets.append(held)
        return [int(held.getsockname()[1]) for held in sockets]
    finally:
        for held in sockets:
            held.close()


def any_port() -> socket.socket:
    """A socket on a free port that no outgoing connection will be given, where there is one."""
    for _ in range(TRIES):
        held = bound(LOWEST + secrets.randbelow(HIGHEST - LOWEST + 1))
        if held is not None:
            return held
    held = socket.socket()
    held.bind((LOOPBACK, 0))
    return held


def bound(port: int) -> socket.socket | None:
    """A socket on this port; None if it is 0 or taken."""
    if port == 0:
        return None
    held = socket.socket()
    held.setsockopt(
        socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
    )  # as servers do: connections that linger do not count
    try:
        held.bind((LOOPBACK, port))
    except OSError:
        held.close()
        return None
    return held


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    held = bound(port)
    if held is not None:
        held.close()
    return held is not None
