"""A real schema registry, Apicurio's, on the Java of the embedded broker; fetched once, 158 MB."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
from maven_artifact import Artifact

from stream_app.embedded.guard import locked
from stream_app.embedded.jars import cache_dir, downloader
from stream_app.embedded.java import java
from stream_app.embedded.ports import LOOPBACK, free_ports
from tests.faults.learners import until

ARCHIVE = Artifact("io.apicurio", "apicurio-registry-app", "3.3.3", "all", "tar.gz")
SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
WITHIN_S = 120.0


def fetched(file: Path) -> Path:
    """The archive in the cache, checked each time."""
    with locked(file.parent):
        if not file.is_file():
            part = file.with_suffix(".part")
            downloader().download(ARCHIVE, filename=str(part))
            part.replace(file)
    assert sha256(file.read_bytes()).hexdigest() == SHA256
    return file


class Apicurio:
    """Keeps its schemas in a file, so that it may be stopped and started again on its port."""

    def __init__(self, directory: Path) -> None:
        archive = fetched(cache_dir().parent / "apicurio-3.3.3.tar.gz")
        self.home, self.log = directory / "apicurio", directory / "apicurio.log"
        with tarfile.open(archive) as packed:
            packed.extractall(self.home, filter="data")
        self.jar = next(self.home.rglob("quarkus-run.jar"))
        self.port, self.management = free_ports(0, 0)
        self.url = f"http://{LOOPBACK}:{self.port}/apis/ccompat/v7"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Listen; return once it answers."""
        settings = {
            "QUARKUS_HTTP_HOST": LOOPBACK,
            "QUARKUS_HTTP_PORT": str(self.port),
            "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
            "QUARKUS_MANAGEMENT_PORT": str(self.management),
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{self.home / 'schemas'}",
        }
        command = [*java(), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar", str(self.jar)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command, env={**os.environ, **settings}, cwd=self.jar.parent, stdout=out, stderr=out
            )
        until(self.answers, WITHIN_S, self.log.read_text)

    def answers(self) -> bool:
        """Whether it serves Confluent's API."""
        try:
            return httpx.get(f"{self.url}/subjects", timeout=5.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """Be away."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def apicurio(directory: Path) -> Iterator[Apicurio]:
    """One that listens."""
    made = Apicurio(directory)
    try:
        made.start()
        yield made
    finally:
        made.stop()
