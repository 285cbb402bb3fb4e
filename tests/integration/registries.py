"""A schema registry over HTTP, as far as the bridge asks one: it can be stopped and started on its port."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stream_app.embedded.ports import LOOPBACK, free_ports


class Registry:
    """Answers by path; `login` is asked for where it is set. `asked` are the paths, in order.

    Every schema that is `registered`, with its subject, has id 7; one under `refuse` is incompatible.
    """

    def __init__(self, login: str = "") -> None:
        (self.port,) = free_ports(0)
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.registered: list[tuple[str, dict[str, Any]]] = []
        self.login = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
        self.server: ThreadingHTTPServer | None = None

    def register(self, number: int, schema: Any, kind: str = "", **more: Any) -> None:
        """Know a schema under an id."""
        known = {"schema": json.dumps(schema), **({"schemaType": kind} if kind else {}), **more}
        self.answers[f"/schemas/ids/{number}"] = known

    def start(self) -> None:
        """Listen."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path.partition("?")[0])
                allowed = not registry.login or self.headers.get("Authorization") == registry.login
                found = registry.answers.get(self.path.partition("?")[0])
                status = 401 if not allowed else 404 if found is None else 200
                body = json.dumps(found if status == 200 else {"error_code": status}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                subject = self.path.split("/")[2]
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                registry.registered.append((subject, sent))
                status = 409 if subject == "refuse-value" else 200
                body = json.dumps({"id": 7} if status == 200 else {"message": "not compatible"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer((LOOPBACK, self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Be away."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@contextmanager
def registry(login: str = "") -> Iterator[Registry]:
    """One that listens."""
    made = Registry(login)
    made.start()
    try:
        yield made
    finally:
        made.stop()
