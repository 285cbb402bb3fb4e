"""Both servers as one thing: up, down, status. A directory holds their data, logs, ports and processes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from stream_app.embedded import kafka, valkey
from stream_app.embedded.bring import bring_kafka, bring_valkey
from stream_app.embedded.guard import locked
from stream_app.embedded.java import java
from stream_app.embedded.ports import LOOPBACK
from stream_app.embedded.process import Running, alive, end
from stream_app.embedded.state import STATE, State, make_signing_key, read, signing_key, write
from stream_app.settings import load_settings

DIRECTORY_VARIABLE = "STREAM_APP_SERVICES_DIR"


@dataclass(frozen=True)
class Endpoints:
    """Where the servers answer; a pid is None for one that settings name, and for one that does not run."""

    bootstrap_servers: str
    redis_url: str = field(repr=False)  # one that settings name may carry a password
    directory: Path
    kafka_pid: int | None = None
    valkey_pid: int | None = None

    @property
    def signing_key(self) -> str:
        """The directory's key for snapshots, as hex.

        Raises:
            Refused: there is none, or it is damaged.
        """
        return signing_key(self.directory)


@dataclass(frozen=True)
class ServerStatus:
    """`up`: it answers; None for a server that settings name. `pid`: of a process of ours that lives."""

    up: bool | None
    external: bool
    address: str = field(repr=False)
    pid: int | None = None
    port: int | None = None


@dataclass(frozen=True)
class Named:
    """The servers that settings name; empty: ours."""

    kafka: str
    redis: str = field(repr=False)


def named() -> Named:
    """Read from environment and settings file.

    Raises:
        UsageError: settings that cannot be read.
    """
    settings = load_settings()
    return Named(settings.kafka.bootstrap_servers, settings.redis.url.get_secret_value())


def default_directory() -> Path:
    """STREAM_APP_SERVICES_DIR, else below the user's state directory (XDG_STATE_HOME)."""
    if given := os.environ.get(DIRECTORY_VARIABLE):
        return Path(given)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "stream-app"


def place(directory: Path | None) -> Path:
    """The absolute directory: servers do not share our working directory."""
    return (directory or default_directory()).expanduser().absolute()


def up(directory: Path | None = None) -> Endpoints:
    """Start what does not run yet, except what settings name; two calls at once end with the same servers.

    Raises:
        Refused: a server cannot be started; each remedy is named.
        UsageError: settings that cannot be read.
    """
    directory, given = place(directory), named()
    if given.kafka and given.redis:
        return endpoints(directory, State(), given)
    with locked(directory):
        state = read(directory)
        if not given.redis and not alive(state.valkey):
            valkey.binary()  # raises before the other is started
        if not given.kafka and not alive(state.kafka):
            java()
        make_signing_key(directory)
        if not given.redis:
            bring_valkey(directory, state)
        if not given.kafka:
            bring_kafka(directory, state)
        return endpoints(directory, state, given)


def start_kafka(directory: Path) -> Running:
    """Start the broker of a directory, or give the one that runs; settings are not looked at.

    Raises:
        Refused: it cannot be started.
    """
    directory = place(directory)
    with locked(directory):
        return bring_kafka(directory, read(directory))


def start_valkey(directory: Path) -> Running:
    """Start the Valkey of a directory, or give the one that runs; settings are not looked at.

    Raises:
        Refused: it cannot be started.
    """
    directory = place(directory)
    with locked(directory):
        return bring_valkey(directory, read(directory))


def down(directory: Path | None = None) -> bool:
    """Stop what runs and is ours; True if something did. Data stays.

    Raises:
        Refused: a process cannot be ended.
    """
    directory = place(directory)
    if not (directory / STATE).exists():
        return False
    with locked(directory):
        state = read(directory)
        ran = alive(state.kafka) or alive(state.valkey)
        end(state.kafka, kafka.STOP_WITHIN_S)
        end(state.valkey, valkey.STOP_WITHIN_S)
        state.kafka = state.valkey = None
        write(directory, state)
    return ran


def running(directory: Path | None = None) -> Endpoints | None:
    """The endpoints if every server that settings do not name runs, else None.

    Raises:
        UsageError: settings that cannot be read.
    """
    directory, given = place(directory), named()
    state = read(directory)
    if (given.kafka or alive(state.kafka)) and (given.redis or alive(state.valkey)):
        return endpoints(directory, state, given)
    return None


def addresses(directory: Path | None = None) -> Endpoints | None:
    """The endpoints of a directory that has been up before, dead servers included: they keep their ports.

    For what must outlive a server, as a learner does its view. None: `up` was never called there.

    Raises:
        UsageError: settings that cannot be read.
    """
    directory, given = place(directory), named()
    state = read(directory)
    if (given.kafka or state.kafka_port) and (given.redis or state.valkey_port):
        return endpoints(directory, state, given)
    return None


def status(directory: Path | None = None) -> dict[str, ServerStatus]:
    """Each server by its name, asked whether it answers.

    Raises:
        UsageError: settings that cannot be read.
    """
    directory, given = place(directory), named()
    state = read(directory)
    found = endpoints(directory, state, given)
    result = {}
    for name, external, address, server, port in (
        ("kafka", given.kafka, found.bootstrap_servers, state.kafka, state.kafka_port),
        ("valkey", given.redis, found.redis_url, state.valkey, state.valkey_port),
    ):
        if external:
            result[name] = ServerStatus(None, external=True, address=address)
            continue
        living = server if alive(server) else None
        answers = living is not None and (
            kafka.answers(directory / "kafka", living) if name == "kafka" else valkey.answers(living)
        )
        pid = living.pid if living else None
        result[name] = ServerStatus(answers, external=False, address=address, pid=pid, port=port or None)
    return result


def endpoints(directory: Path, state: State, given: Named) -> Endpoints:
    """What settings name, else what the state remembers."""
    return Endpoints(
        given.kafka or f"{LOOPBACK}:{state.kafka_port}",
        given.redis or f"redis://{LOOPBACK}:{state.valkey_port}/0",
        directory,
        state.kafka.pid if state.kafka and not given.kafka and alive(state.kafka) else None,
        state.valkey.pid if state.valkey and not given.redis and alive(state.valkey) else None,
    )
