"""A real Prometheus and a real Alertmanager on the loopback, with the rules of deploy/, and who they tell."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from stream_app.embedded.ports import free_ports
from tests.debian import binary
from tests.integration.serving import until

DEPLOY = Path(__file__).parents[2] / "deploy"
END_WITHIN_S = 15
TEMPLATES = b"usr/share/prometheus/alertmanager"


class Webhook(ThreadingHTTPServer):
    """What an Alertmanager posts is in `alerts`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.alerts: list[dict[str, Any]] = []


class Hook(BaseHTTPRequestHandler):
    """Takes notifications in."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Webhook)
        self.server.alerts += json.loads(body)["alerts"]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  the name is its caller's
        """Nothing."""


class Monitoring:
    """Where Prometheus and Alertmanager answer, and what came out at the other end."""

    def __init__(self, http: httpx.Client, alertmanager: str, webhook: Webhook) -> None:
        self.http, self.alertmanager, self.webhook = http, f"http://{alertmanager}", webhook

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        response = self.http.get(f"/api/v1/{path}", params=parameters)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that an expression gives now."""
        found: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return found


def alertmanager_in(directory: Path) -> tuple[Path, Path]:
    """The program, and the directory to start it in.

    Debian's reads its templates below /usr/share. Unpacked elsewhere, it runs as a copy in which that path is
    a relative one of the same length.
    """
    for name in ("alertmanager", "prometheus-alertmanager"):
        if (found := shutil.which(name)) is not None:
            return Path(found), directory
    original, copy = binary("prometheus-alertmanager"), directory / "alertmanager"
    copy.write_bytes(original.read_bytes().replace(b"/" + TEMPLATES, TEMPLATES + b"/"))
    copy.chmod(0o700)
    return copy, original.parents[2]


def configure(directory: Path, hook: str, alertmanager: str, targets: Mapping[str, str]) -> None:
    """The examples of deploy/ with these addresses, and nothing that waits."""
    config = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    config["receivers"][0]["webhook_configs"][0]["url"] = hook
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s"}
    (directory / "alertmanager.yml").write_text(yaml.safe_dump(config))
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text()) | {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DEPLOY / "prometheus" / "rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))


@contextmanager
def running(log: Path, command: list[str], directory: Path) -> Iterator[None]:
    """A server, its output in a file, ended at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory)
        try:
            yield
        finally:
            process.terminate()
            process.wait(END_WITHIN_S)


@contextmanager
def monitoring(directory: Path, targets: Mapping[str, str]) -> Iterator[Monitoring]:
    """Scrapes `targets` (job → host:port) each second, and tells a webhook; ended at the end."""
    prometheus, (alertmanager, at) = binary("prometheus"), alertmanager_in(directory)
    ours, its = (f"127.0.0.1:{port}" for port in free_ports(0, 0))
    webhook = Webhook()
    threading.Thread(target=webhook.serve_forever, daemon=True).start()
    configure(directory, f"http://127.0.0.1:{webhook.server_address[1]}/alerts", its, targets)
    tells = [
        str(alertmanager),
        f"--config.file={directory}/alertmanager.yml",
        f"--storage.path={directory}/am",
        f"--web.listen-address={its}",
        "--cluster.listen-address=",
    ]
    scrapes = [
        str(prometheus),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/tsdb",
        f"--web.listen-address={ours}",
    ]
    try:
        with (
            running(directory / "alertmanager.log", tells, at),
            running(directory / "prometheus.log", scrapes, directory),
            httpx.Client(base_url=f"http://{ours}", timeout=10.0) as client,
        ):
            for address in (its, ours):
                ready = f"http://{address}/-/ready"
                until(lambda ready=ready: client.get(ready).status_code == 200, ready)  # type: ignore[misc]
            yield Monitoring(client, its, webhook)
    finally:
        webhook.shutdown()
        webhook.server_close()
