"""Ops processes, the alerts they are fed with, and a webhook that people could stand behind."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import orjson
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from stream_app.embedded.ports import free_ports
from tests.integration import serving
from tests.integration.learners import Learners

WITHIN_S = 120.0
ADMIN = "an-admin-token-of-this-test"
QUICK = {"wait_s": 0.2, "interval_s": 0.2, "rate": 1_000, "rate_s": 1.0, "attempts": 1, "timeout_s": 2.0}


def until(claim: Callable[[], Any], what: str) -> Any:
    """The first true answer; a busy machine starts two Python processes and a rebalance in a minute."""
    return serving.until(claim, what, WITHIN_S)


class Webhook:
    """An HTTP server on the loopback that keeps what was posted; `status` is what it answers, and 400
    to a body that holds `refuses`.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.raw: list[bytes] = []
        self.refused = 0
        self.status = 200
        self.refuses: bytes | None = None
        kept = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                refused = kept.refuses is not None and kept.refuses in body
                status = 400 if refused else kept.status
                if status == 200:
                    kept.bodies.append(json.loads(body))
                    kept.headers.append(dict(self.headers))
                    kept.raw.append(body)
                else:
                    kept.refused += 1
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ids(self) -> list[str]:
        """Every alert id that was posted, as often as it was."""
        return [name for body in self.bodies for name in body["alert_ids"]]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def webhook() -> Iterator[Webhook]:
    """One, closed at the end."""
    server = Webhook()
    try:
        yield server
    finally:
        server.close()


class Ops:
    """One `stream-app ops` process; `settings` is the section ops."""

    def __init__(self, learners: Learners, *targets: str, cold: bool = False, **settings: Any) -> None:
        (port,) = free_ports(0)
        self.address = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.address, timeout=5.0)
        told = {f"STREAM_APP_OPS__{name.upper()}": as_text(value) for name, value in settings.items()}
        self.log: Path = learners.directory / f"ops-{port}.log"
        before = dict(learners.call.environment)
        learners.call.environment.update(told)
        try:
            with self.log.open("wb") as out:
                start = learners.spawn_cold if cold else learners.spawn
                self.process: subprocess.Popen[bytes] = start(
                    "stream_app", "ops", *targets, "--port", str(port), stderr=out
                )
        finally:
            learners.call.environment.clear()
            learners.call.environment.update(before)

    def ready(self) -> None:
        """Wait until its tables are recovered and its own."""
        until(lambda: self.alive() and self.get("/readyz").status_code == 200, f"{self.address} is ready")

    def alive(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3_000:]
        return True

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path)

    def board(self, app: str) -> dict[str, Any]:
        """What the page shows."""
        found: dict[str, Any] = self.get(f"/v1/board/{app}").json()
        return found

    def kill(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait(10)

    def end(self, within_s: float = 30.0) -> int:
        """Its exit code after SIGTERM."""
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)


@contextmanager
def operating(learners: Learners, *targets: str, **settings: Any) -> Iterator[Ops]:
    """One that is ready, ended at the end."""
    ops = Ops(learners, *targets, **settings)
    try:
        ops.ready()
        yield ops
    finally:
        ops.kill()


def as_text(value: Any) -> str:
    """A setting as the environment takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def route(hook: Webhook, **how: Any) -> dict[str, Any]:
    """A quick route to a webhook, as the settings take it."""
    return {"name": "hook", "channel": "webhook", "url": hook.url, **QUICK, **how}


def alert(name: str, kind: str = "drift", severity: str = "warning", shard: int = 0, **more: Any) -> bytes:
    """An alert's value as a learner writes it."""
    told = {
        "v": 1,
        "alert_id": name,
        "type": kind,
        "severity": severity,
        "shard": shard,
        "time_ms": int(time.time() * 1000),
        "message": f"{kind} {name}",
        "evidence": {},
        "runbook": f"docs/runbooks.md#{kind}",
        **more,
    }
    return orjson.dumps(told)


def write(servers: str, topic: str, values: list[bytes | None], partition: int = 0, **more: Any) -> None:
    """Records by a plain producer, keyed by their place in the list."""
    producer = KafkaProducer(bootstrap_servers=servers)
    for place, value in enumerate(values):
        producer.send(topic, value, str(place).encode(), partition=partition, **more)
    producer.flush()
    producer.close()


def table(servers: str, group: str, name: str) -> dict[str, Any]:
    """A table as its changelog has it: what a process that starts now would find."""
    topic = TopicPartition(f"{group}-{name}-changelog", 0)
    reader = KafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed")
    found: dict[str, Any] = {}
    try:
        reader.assign([topic])
        reader.seek_to_beginning(topic)
        end = reader.end_offsets([topic])[topic]
        while reader.position(topic) < end:
            for records in reader.poll(timeout_ms=500).values():
                for record in records:
                    key = orjson.loads(record.key)
                    if record.value is None:
                        found.pop(key, None)
                    else:
                        found[key] = orjson.loads(record.value)
    finally:
        reader.close()
    return found
