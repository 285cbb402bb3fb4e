"""One measured run of a learner over a backlog: written first, then learned by `stream-app learn`."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from bisect import bisect_left
from typing import Any, NamedTuple

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.common import APART_MS, ROOT, Servers, made
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.embedded.ports import free_ports
from stream_app.learner import journal
from topics.catalog import catalog

SAMPLE_S = 0.02
SCRAPE_S = 1.0
END = -191  # librdkafka's code for the end of a partition


class Cost(NamedTuple):
    """`events` took `wall_s`, and `cpu_s` of the process with all its threads."""

    events: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per event."""
        return self.cpu_s / self.events * 1e6


class Batch(NamedTuple):
    """A journal record: when it was written, and how many events it took."""

    time_ms: int
    events: int


def write_backlog(servers: Servers, app: str, n: int, late: int | None) -> None:
    """Write n events to the topics of `app`; labels inside them, or as records `late` events later."""
    names = catalog(app, 1)
    kafka = {"bootstrap_servers": servers.bootstrap_servers.split(",")}
    with TopicAdmin(kafka) as admin:
        admin.create(names)
    producer = Producer(
        {
            "bootstrap.servers": servers.bootstrap_servers, "linger.ms": 50, "compression.type": "lz4",
            "batch.size": 1 << 19, "queue.buffering.max.messages": 2_000_000, "enable.idempotence": True,
        }
    )  # fmt: skip
    start_ms = int(time.time() * 1000) - APART_MS * (n + (late or 0))
    for i, event in enumerate(made(n)):
        key, at_ms = event.key.encode(), start_ms + APART_MS * i
        producer.produce(names.events.name, event.event(inline=late is None), key, 0, timestamp=at_ms)
        if late is not None:
            at_ms += APART_MS * late - 1
            producer.produce(names.labels.name, event.late_label(), key, 0, timestamp=at_ms)
        if i % 1_000 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise SystemExit("the backlog could not be written")


def learn(servers: Servers, target: str, run: dict[str, str]) -> list[tuple[float, float]]:
    """Run a learner to the end of its inputs as a user would; gives samples (epoch ms, CPU s so far)."""
    (port,) = free_ports(0)
    environment = {**servers.environment, **run, "STREAM_APP_LEARNER__METRICS_PORT": str(port)}
    command = [
        sys.executable, "-m", "stream_app", "learn", target, "--no-supervise", "--no-admission",
        "--exit-when-idle", "0.5",
    ]  # fmt: skip
    samples: list[tuple[float, float]] = []
    log = servers.directory / "learner.log"
    with log.open("ab") as told, subprocess.Popen(command, cwd=ROOT, env=environment, stderr=told) as child:
        process, scraped_s = psutil.Process(child.pid), time.monotonic()
        while child.poll() is None:
            try:
                used = process.cpu_times()
            except psutil.NoSuchProcess:
                break
            samples.append((time.time() * 1000, used.user + used.system))
            if time.monotonic() - scraped_s > SCRAPE_S:
                scraped_s = time.monotonic()
                scrape(port)
            time.sleep(SAMPLE_S)
    if child.returncode:
        raise SystemExit(f"the learner ended with exit code {child.returncode}:\n{log.read_text()[-3000:]}")
    return samples


def scrape(port: int) -> None:
    """Read the metrics, as Prometheus would."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            answer.read()
    except OSError:
        return  # it is not up yet, or just leaving


def read_topic(servers: Servers, topic: str) -> list[Any]:
    """Every committed message of partition 0."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers.bootstrap_servers, "group.id": "bench", "enable.partition.eof": True,
            "isolation.level": "read_committed", "enable.auto.commit": False,
        }
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Any] = []
    while True:
        for message in consumer.consume(10_000, 5.0):
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == END:
                consumer.close()
                return found
            else:
                raise SystemExit(f"{topic}: {error}")


def batches(servers: Servers, app: str) -> list[Batch]:
    """The journal as times and numbers of events."""
    found = []
    for message in read_topic(servers, catalog(app, 1).journal.name):
        record = journal.read(message.value(), message.offset())
        if isinstance(record, journal.BatchRecord):
            found.append(Batch(message.timestamp()[1], record.inputs["events"][2]))
    return found


def cpu_at(samples: list[tuple[float, float]], time_ms: float) -> float:
    """CPU seconds used up to a moment, between two samples by proportion."""
    right = min(max(bisect_left(samples, (time_ms, 0.0)), 1), len(samples) - 1)
    (t0, c0), (t1, c1) = samples[right - 1], samples[right]
    return c0 + (c1 - c0) * min(1.0, max(0.0, (time_ms - t0) / (t1 - t0)))


def measure(
    servers: Servers, app: str, target: str, n: int, skipped: int, late: int | None, run: dict[str, str]
) -> Cost:
    """Write the backlog, learn it, and give the cost of all but the first `skipped` events."""
    write_backlog(servers, app, n, late)
    samples = learn(servers, target, run)
    found = batches(servers, app)
    judge(servers, app, n, sum(batch.events for batch in found))
    seen, begin = 0, 0
    while seen < skipped:
        seen += found[begin].events
        begin += 1
    last = max(i for i, batch in enumerate(found) if batch.events)
    start_ms, end_ms = found[begin - 1].time_ms, found[last].time_ms
    cpu_s = cpu_at(samples, end_ms) - cpu_at(samples, start_ms)
    return Cost(n - seen, (end_ms - start_ms) / 1000, cpu_s)


def judge(servers: Servers, app: str, n: int, journaled: int) -> None:
    """A run counts only if each event was predicted and each label learned."""
    names = catalog(app, 1)
    letters = len(read_topic(servers, names.dead_letters.name))
    stored = read_topic(servers, names.predictions.name)
    if letters or journaled != n or len(stored) != n:
        raise SystemExit(
            f"{app}: {journaled} events journaled, {len(stored)} predicted, {letters} dead letters of {n}"
        )
