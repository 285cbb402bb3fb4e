"""The demo's dashboard: an ops process over all its acts; with `--serve` something goes on happening."""

from __future__ import annotations

import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx

from stream_app.embedded.ports import free_ports
from stream_app.errors import StreamAppError
from stream_app.own_process import own_command

DEFINITIONS = "stream_app.cli.demo.app"
READY_S = 60.0
END_S = 10.0
TRICKLE_S = 0.05  # between two events, once the acts are over


class Dashboard:
    """An ops process of this run; its `address` brings the token that it asks for."""

    def __init__(self, acts: Sequence[str]) -> None:
        (port,) = free_ports(0)
        self.server, token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
        self.address = f"{self.server}/#token={token}"
        environment = {
            **os.environ,
            "STREAM_APP_OPS__TOKENS_ADMIN": token,
            "STREAM_APP_OPS__SILENT_S": "86400",  # the acts' learners end by themselves
        }
        targets = [f"{DEFINITIONS}:{act}" for act in acts]
        self.process = subprocess.Popen(
            own_command("ops", *targets, "--port", str(port)),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Until it shows something.

        Raises:
            StreamAppError: it ended, or takes too long.
        """
        deadline_s = time.monotonic() + READY_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            try:
                if httpx.get(f"{self.server}/readyz", timeout=1.0).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise StreamAppError(
            "the dashboard does not come up", f"Run `stream-app ops {DEFINITIONS}:turning` to see why"
        )


@contextmanager
def dashboard(acts: Sequence[str]) -> Iterator[Dashboard]:
    """From here on, and no longer than this block."""
    made = Dashboard(acts)
    try:
        yield made
    finally:
        end(made.process)


def end(process: subprocess.Popen[Any]) -> None:
    """SIGTERM, and what it asks for within ten seconds."""
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(shown: Dashboard, act: str, settings: Any, stream: Sequence[Any]) -> None:
    """Until Ctrl-C: a learner that can be ordered about, and events that go on as the stream ended."""
    from stream_app.cli.demo import app as demo_app

    name, kafka = getattr(demo_app, act).name, settings.kafka.kafka_python()
    learner = subprocess.Popen(
        own_command("learn", f"{DEFINITIONS}:{act}", "--no-admission"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    over = threading.Event()
    feeder = threading.Thread(target=trickle, args=(name, kafka, stream, over), daemon=True)
    feeder.start()
    try:
        while shown.process.poll() is None:
            time.sleep(0.5)
        raise StreamAppError("the dashboard has ended", "Start the demo again")
    except KeyboardInterrupt:
        pass
    finally:
        over.set()
        feeder.join(END_S)
        end(learner)


def trickle(name: str, kafka: Any, stream: Sequence[Any], over: threading.Event) -> None:
    """Some events a second, over and over."""
    from stream_app.client.producer import EventProducer

    with EventProducer(name, kafka) as producer:
        for i in count():
            x, y = stream[i % len(stream)]
            producer.send(f"entity-{i % 100}", x, f"more-{i}", y)
            if over.wait(TRICKLE_S):
                return
