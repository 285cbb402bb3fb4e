"""One server brought to the point where it answers. Callers hold the directory's lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stream_app.embedded import kafka, valkey
from stream_app.embedded.ports import free_ports, is_free
from stream_app.embedded.process import Running, alive, end, wait_until
from stream_app.embedded.state import State, write
from stream_app.errors import Refused

STARTS = 3  # another program may take a port between our look and the server's


def bring_kafka(directory: Path, state: State) -> Running:
    """The broker of a directory, started if it does not run.

    Raises:
        Refused: it cannot be started.
    """
    home = directory / "kafka"

    def launch() -> Running:
        state.kafka_port, state.controller_port = free_ports(state.kafka_port, state.controller_port)
        state.kafka = kafka.launch(home, state.kafka_port, state.controller_port)
        write(directory, state)
        return state.kafka

    def ready(server: Running) -> None:
        wait_until(
            lambda: kafka.answers(home, server), server, home / kafka.LOG, kafka.READY_WITHIN_S, kafka.NAME
        )

    return bring(state.kafka, launch, ready, lambda: (state.kafka_port, state.controller_port))


def bring_valkey(directory: Path, state: State) -> Running:
    """The Valkey of a directory, started if it does not run.

    Raises:
        Refused: it cannot be started.
    """
    home = directory / "valkey"

    def launch() -> Running:
        (state.valkey_port,) = free_ports(state.valkey_port)
        state.valkey = valkey.launch(home, state.valkey_port)
        write(directory, state)
        return state.valkey

    def ready(server: Running) -> None:
        wait_until(
            lambda: valkey.answers(server), server, home / valkey.LOG, valkey.READY_WITHIN_S, valkey.NAME
        )

    return bring(state.valkey, launch, ready, lambda: (state.valkey_port,))


def bring(
    server: Running | None,
    launch: Callable[[], Running],
    ready: Callable[[Running], None],
    ports: Callable[[], tuple[int, ...]],
) -> Running:
    """The server that runs, once it answers; else a new one, on other ports if these were taken meanwhile."""
    if server is not None and alive(server):
        try:
            ready(server)  # another start may have been killed while it waited
        except Refused:
            if alive(server):
                raise
            # It was on its way out, as a process is for a moment after SIGKILL.
        else:
            return server
    left = STARTS
    while True:
        left -= 1
        started = launch()
        try:
            ready(started)
        except Refused:
            end(started, 0.0)
            if left == 0 or all(is_free(port) for port in ports()):
                raise
        else:
            return started
