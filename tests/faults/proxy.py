"""A TCP proxy between a Kafka client and its broker that sees each request and can hold it or cut it off."""

from __future__ import annotations

import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import NamedTuple, Self

import pytest

from stream_app.embedded import kafka
from stream_app.embedded import services as embedded
from stream_app.embedded.ports import LOOPBACK, free_ports

PROXIED = "PROXIED"
PRODUCE, END_TXN, TXN_OFFSET_COMMIT = 0, 26, 28  # api keys of the Kafka protocol
HEAD = 4  # bytes of a message's size
ANSWER_WITHIN_S = 30.0


class Verdict(Enum):
    """What becomes of a request."""

    PASS = "pass"
    DELAY = "delay"  # the client's connection is cut, the broker gets the request when it is released
    HOLD = "hold"  # neither side hears of it


class Late(NamedTuple):
    """A delayed request, the connection on which it is to go, and what the broker answered there."""

    broker: socket.socket
    message: bytes
    answers: Queue[bytes]

    def deliver(self) -> bytes:
        """Let the broker have it; the answer without its header, whose number is the request's."""
        self.broker.sendall(self.message)
        while True:
            answer = self.answers.get(timeout=ANSWER_WITHIN_S)
            if answer[4:8] == self.message[8:12]:
                return answer[8:]


class Proxy:
    """Listens on `port` of the loopback; `judge` gets api key and bytes of every request.

    Every answer waits for `slow_s` first, and then passes at `bytes_per_s`.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        self.broker_port = broker_port
        self.slow_s, self.bytes_per_s = 0.0, math.inf
        self.forget()
        self.open: set[socket.socket] = set()
        self.listener = socket.create_server((LOOPBACK, port))
        threading.Thread(target=self.accept, daemon=True).start()

    def forget(self) -> None:
        """Pass everything from now on, and begin to count again."""
        self.judge: Callable[[int, bytes], Verdict] = lambda _key, _message: Verdict.PASS
        self.delayed: list[Late] = []
        self.held = threading.Event()

    def accept(self) -> None:
        """Serve each client on a thread of its own."""
        with suppress(OSError):  # closed
            while True:
                client, _ = self.listener.accept()
                try:
                    broker = socket.create_connection((LOOPBACK, self.broker_port))
                except OSError:  # the broker is away
                    client.close()
                    continue
                self.open |= {client, broker}
                threading.Thread(target=self.requests, args=(client, broker), daemon=True).start()

    def requests(self, client: socket.socket, broker: socket.socket) -> None:
        """Pass requests on until the client leaves or one is delayed."""
        unheard: Queue[bytes] = Queue()
        threading.Thread(target=self.answers, args=(client, broker, unheard), daemon=True).start()
        with suppress(OSError, EOFError):
            while True:
                message = receive(client)
                (key,) = struct.unpack_from(">h", message, HEAD)
                verdict = self.judge(key, message)
                if verdict is Verdict.PASS:
                    broker.sendall(message)
                elif verdict is Verdict.HOLD:
                    self.held.set()
                else:
                    shut(client)
                    # The broker sees a connection that is still there, on which nothing comes for a while.
                    self.delayed.append(Late(broker, message, unheard))
                    return
        shut(broker)

    def answers(self, client: socket.socket, broker: socket.socket, unheard: Queue[bytes]) -> None:
        """Pass answers on; those that the client is no longer there for are kept."""
        with suppress(OSError, EOFError):
            while True:
                answer = receive(broker)
                time.sleep(self.slow_s + len(answer) / self.bytes_per_s)
                try:
                    client.sendall(answer)
                except OSError:
                    unheard.put(answer)
        for each in (client, broker):
            shut(each)
            self.open.discard(each)
            each.close()

    def cut(self) -> None:
        """Cut every connection."""
        for each in list(self.open):
            shut(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in [self.listener, *self.open]:
            shut(each)
            each.close()


class Far(NamedTuple):
    """The addresses of one broker: its own, and that of a proxy before it."""

    near: str
    far: str
    proxy: Proxy


def with_listener(name: str, protocol: str, port: int, advertised: int) -> str:
    """The broker's properties with one more listener, which says that it is at the advertised port."""
    text = kafka.PROPERTIES
    for old, new in {
        "\nlisteners=": f"\nlisteners={name}://{LOOPBACK}:{port},",
        "\nadvertised.listeners=": f"\nadvertised.listeners={name}://{LOOPBACK}:{advertised},",
        "protocol.map=": f"protocol.map={name}:{protocol},",
    }.items():
        assert old in text
        text = text.replace(old, new)
    return f"{text}inter.broker.listener.name=PLAINTEXT\n"


@contextmanager
def proxied(directory: Path) -> Iterator[Far]:
    """A broker with a second listener, which says that it is at a proxy's address; also when it restarts."""
    listener, proxy_port = free_ports(0, 0)
    text = with_listener(PROXIED, "PLAINTEXT", listener, proxy_port)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kafka, "PROPERTIES", text)
            server = embedded.start_kafka(directory)
            with Proxy(proxy_port, listener) as proxy:
                yield Far(f"{LOOPBACK}:{server.port}", f"{LOOPBACK}:{proxy_port}", proxy)
    finally:
        embedded.down(directory)


def shut(connection: socket.socket) -> None:
    """End a connection for both sides, also for a thread that reads from it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def receive(connection: socket.socket) -> bytes:
    """One message with its size.

    Raises:
        EOFError: the other side has left.
    """
    size = read(connection, HEAD)
    return size + read(connection, struct.unpack(">i", size)[0])


def read(connection: socket.socket, n: int) -> bytes:
    """Exactly so many bytes."""
    found = b""
    while len(found) < n:
        more = connection.recv(n - len(found))
        if not more:
            raise EOFError
        found += more
    return found
