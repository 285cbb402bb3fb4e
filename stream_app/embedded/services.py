"""Both servers as one thing: up, down, status. A state file in the directory remembers ports and processes."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stream_app.embedded import kafka, valkey
from stream_app.embedded.process import Running, alive, end

STATE = "services.json"
KEY = "signing.key"
KAFKA_PATIENCE_S, VALKEY_PATIENCE_S = 15.0, 5.0


class State(msgspec.Struct):
    """What the state file holds; ports stay, so that clients keep their addresses."""

    kafka_port: int
    controller_port: int
    valkey_port: int
    kafka: Running | None = None
    valkey: Running | None = None


class Endpoints(msgspec.Struct):
    """Where the servers answer; a pid is None for a server that settings name and we did not start."""

    bootstrap_servers: str
    redis_url: str
    directory: Path
    signing_key: str
    kafka_pid: int | None = None
    valkey_pid: int | None = None


def default_directory() -> Path:
    """Below the user's state directory, or STREAM_APP_SERVICES_DIR."""
    named = os.environ.get("STREAM_APP_SERVICES_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "stream-app"


def up(directory: Path | None = None) -> Endpoints:
    """Start what does not run yet; two calls at once end with the same servers.

    Raises:
        Refused: a server cannot be started; each remedy is named.
    """
    directory = (directory or default_directory()).absolute()
    with locked(directory):
        if not os.environ.get("STREAM_APP_REDIS__URL"):
            start_valkey(directory)
        if not os.environ.get("STREAM_APP_KAFKA__BOOTSTRAP_SERVERS"):
            start_kafka(directory)
        return endpoints(directory)


def start_kafka(directory: Path) -> Running:
    """Start the broker of a directory, or give the one that runs."""
    state = read(directory)
    if not alive(state.kafka):
        ports = free_ports(2, [state.kafka_port, state.controller_port])
        state.kafka_port, state.controller_port = ports
        state.kafka = kafka.start(directory, *ports)
        write(directory, state)
    assert state.kafka is not None
    return state.kafka


def start_valkey(directory: Path) -> Running:
    """Start the Valkey of a directory, or give the one that runs."""
    state = read(directory)
    if not alive(state.valkey):
        (state.valkey_port,) = free_ports(1, [state.valkey_port])
        state.valkey = valkey.start(directory, state.valkey_port)
        write(directory, state)
    assert state.valkey is not None
    return state.valkey


def down(directory: Path | None = None) -> bool:
    """Stop what runs; True if something did."""
    directory = (directory or default_directory()).absolute()
    if not directory.exists():
        return False
    with locked(directory):
        state = read(directory)
        ran = alive(state.kafka) or alive(state.valkey)
        end(state.kafka, KAFKA_PATIENCE_S)
        end(state.valkey, VALKEY_PATIENCE_S)
        state.kafka = state.valkey = None
        write(directory, state)
        return ran


def running(directory: Path | None = None) -> Endpoints | None:
    """The endpoints when both servers run, else None."""
    directory = (directory or default_directory()).absolute()
    if not (directory / STATE).exists():
        return None
    state = read(directory)
    return endpoints(directory) if alive(state.kafka) and alive(state.valkey) else None


def status(directory: Path | None = None) -> dict[str, dict[str, object]]:
    """Per server: up, pid, port."""
    directory = (directory or default_directory()).absolute()
    state = read(directory)
    return {
        name: {"up": alive(server), "pid": server.pid if server and alive(server) else None, "port": port}
        for name, server, port in (
            ("kafka", state.kafka, state.kafka_port), ("valkey", state.valkey, state.valkey_port),
        )
    }  # fmt: skip


def endpoints(directory: Path) -> Endpoints:
    state = read(directory)
    return Endpoints(
        os.environ.get("STREAM_APP_KAFKA__BOOTSTRAP_SERVERS") or f"127.0.0.1:{state.kafka_port}",
        os.environ.get("STREAM_APP_REDIS__URL") or f"redis://127.0.0.1:{state.valkey_port}/0",
        directory,
        signing_key(directory),
        state.kafka.pid if state.kafka else None,
        state.valkey.pid if state.valkey else None,
    )


def signing_key(directory: Path) -> str:
    """The directory's own key for snapshots, made once, readable by its owner only."""
    path = directory / KEY
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text().strip()


def read(directory: Path) -> State:
    """The state file; a missing or damaged one means: nothing runs."""
    try:
        return msgspec.json.decode((directory / STATE).read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return State(0, 0, 0)


def write(directory: Path, state: State) -> None:
    temporary = directory / f".{STATE}.{os.getpid()}"
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(directory / STATE)


def free_ports(n: int, wanted: list[int]) -> list[int]:
    """The wanted ports where they are free, else others; held open together so that they differ."""
    sockets: list[socket.socket] = []
    try:
        for i in range(n):
            taken = socket.socket()
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", wanted[i]))
            except OSError:
                taken.bind(("127.0.0.1", 0))
            sockets.append(taken)
        return [int(taken.getsockname()[1]) for taken in sockets]
    finally:
        for taken in sockets:
            taken.close()


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One `up` or `down` at a time per directory; the second waits for the first."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
