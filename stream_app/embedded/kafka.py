"""One Kafka broker in KRaft combined mode, small enough for a laptop."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import struct
import subprocess
from pathlib import Path

from stream_app.adapters.kafka_admin import TopicAdmin, explained
from stream_app.embedded import jars
from stream_app.embedded.java import java
from stream_app.embedded.ports import LOOPBACK
from stream_app.embedded.process import Running, spawn
from stream_app.errors import Refused

NAME = "Kafka"
READY_WITHIN_S = 120.0  # after a crash it reads its open segments again before it answers
STOP_WITHIN_S = 15.0
CORRELATION = 7  # any number; the answer repeats it
LOG, DATA, CONFIG = "kafka.log", "data", "server.properties"
# Benchmarks want the optimising compiler; a start does not.
FULL_JIT_VARIABLE = "STREAM_APP_EMBEDDED_FULL_JIT"
# Paths are relative to the broker's directory: the format knows neither commas nor letters beyond Latin-1.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}

# A topic made by accident has the wrong partitions and retention.
auto.create.topics.enable=false

# One broker keeps one copy. What it keeps for itself is read at each start: few partitions, and segments
# small enough to be compacted soon. While they are read, and it changes its mind about who leads them,
# it forgets the newest offsets (ADR 4).
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
offsets.topic.segment.bytes=1048576
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.state.log.segment.bytes=1048576
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4

# The first member of a group need not wait for others; 6 s is the shortest session a learner asks for.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000

# A start after SIGKILL waits until the controller gives the old broker up: 5 s instead of 13 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# The default of 128 MiB does not fit into the small heap.
log.cleaner.dedupe.buffer.size=4194304
"""
SMALL = ("-Xmx256m", "-XX:+UseSerialGC")
QUICK = ("-XX:TieredStopAtLevel=1",)
DATED = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)
UNICODE = {"LC_ALL": "C.UTF-8"}  # else Java cannot open the jars below a home with letters beyond ASCII


def launch(home: Path, port: int, controller: int) -> Running:
    """Format the storage if it is new, and start the broker on it; it does not answer yet.

    Raises:
        Refused: no Java, jars that cannot be had, or a storage that cannot be formatted.
    """
    runtime = java()
    classpath = os.pathsep.join(str(path) for path in jars.ensure())
    home.mkdir(parents=True, exist_ok=True)
    (home / CONFIG).write_text(PROPERTIES.format(port=port, controller=controller, data=DATA))
    if not cluster_id(home):
        make_storage(home, [*runtime, "-cp", classpath])
    speed = () if os.environ.get(FULL_JIT_VARIABLE) == "1" else QUICK
    command = [*runtime, *SMALL, *speed, *DATED, "-cp", classpath, "kafka.Kafka", CONFIG]
    return spawn(command, home / LOG, port, UNICODE)


def make_storage(home: Path, run: list[str]) -> None:
    """Give the empty storage a cluster id, which the tool writes last: a torn format is done again."""
    # As Kafka's own ids: a first bit of 0, since an id that starts with a dash would be read as an option.
    raw = bytes([secrets.randbelow(128)]) + secrets.token_bytes(15)
    identity = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    command = [*run, "kafka.tools.StorageTool", "format", "-t", identity, "-c", CONFIG]
    environment = {**os.environ, **UNICODE}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise Refused(
            f"the broker's storage cannot be formatted: {said}",
            f"Remove {home / DATA} if nothing in it is needed",
        )


def cluster_id(home: Path) -> str:
    """What the storage belongs to; empty if it is not formatted."""
    try:
        lines = (home / DATA / "meta.properties").read_text().splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), "")


def speaks(port: int) -> bool:
    """Whether a broker answers an ApiVersions request now: an open port is also that of one frozen or dying.

    Asked before the client is, which leaves a socket open for each connection that fails.
    Source: the Kafka protocol guide, request header v1 and ApiVersions v0.
    """
    request = struct.pack(
        ">ihhih", 10, 18, 0, CORRELATION, -1
    )  # size, key, version, correlation, no client id
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0) as connection:
            connection.sendall(request)
            said = connection.recv(8, socket.MSG_WAITALL)
    except OSError:
        return False
    return said[4:] == struct.pack(">i", CORRELATION)


def answers(home: Path, server: Running) -> bool:
    """Whether this storage's own broker answers and takes part: on its port another could listen."""
    if not speaks(server.port):
        return False
    address = {"bootstrap_servers": [f"{LOOPBACK}:{server.port}"], "bootstrap_timeout_ms": 2_000}
    try:
        with TopicAdmin({**address, "request_timeout_ms": 5_000}) as admin, explained():
            cluster = admin.client.describe_cluster()
    except Refused:
        return False
    working = [broker for broker in cluster["brokers"] if not broker.get("is_fenced")]
    return bool(working) and cluster["cluster_id"] == cluster_id(home)
