"""One measured run of a learner over a backlog: written first, then learned by `stream-app learn`.

Once a second the learner can be stopped for what it is compared with, so that noise meets both alike.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.common import APART_MS, ROOT, Servers, made
from benchmarks.learner import Stopped, stopped
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.embedded.ports import free_ports
from stream_app.learner.batch import journal
from topics.catalog import catalog
from topics.journal import BatchRecord

SAMPLE_S = 0.05
TURN_S = 1.0
SCRAPE_S = 5.0  # as often as Prometheus is usually told at most
Turn = Callable[[int], None]
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


class Watched(NamedTuple):
    """A learner's CPU seconds so far at epoch milliseconds, and from when to when it was stopped."""

    samples: list[tuple[float, float]]
    pauses: list[tuple[float, float]]

    def cost(self, events: int, start_ms: float, end_ms: float) -> Cost:
        """What `events` cost between two moments, without the pauses."""
        paused_ms = sum(max(0.0, min(end, end_ms) - max(begin, start_ms)) for begin, end in self.pauses)
        cpu_s = cpu_at(self.samples, end_ms) - cpu_at(self.samples, start_ms)
        return Cost(events, (end_ms - start_ms - paused_ms) / 1000, cpu_s)


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
            "bootstrap.servers": servers.bootstrap_servers,
            "linger.ms": 50,
            "compression.type": "lz4",
            "batch.size": 1 << 19,
            "queue.buffering.max.messages": 2_000_000,
            "enable.idempotence": True,
        }
    )
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


def learn(
    servers: Servers, target: str, run: dict[str, str], turn: Callable[[], None] | None = None
) -> Watched:
    """Run a learner to the end of its inputs as a user would; it stands still for each `turn`."""
    (port,) = free_ports(0)
    command = [
        sys.executable,
        "-m",
        "benchmarks.learner",
        "learn",
        target,
        "--no-supervise",
        "--no-admission",
        "--exit-when-idle",
        "0.5",
    ]
    watched = Watched([], [])
    log = servers.directory / "learner.log"
    with (
        log.open("ab") as told,
        stopped(servers.directory) as stop,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stderr=told,
            env={
                **servers.environment,
                **run,
                **stop.environment,
                "STREAM_APP_LEARNER__METRICS_PORT": str(port),
            },
        ) as child,
    ):
        process = psutil.Process(child.pid)
        scraped_s = turned_s = time.monotonic()
        while child.poll() is None:
            try:
                used = process.cpu_times()
            except psutil.NoSuchProcess:
                break
            watched.samples.append((time.time() * 1000, used.user + used.system))
            if time.monotonic() - scraped_s > SCRAPE_S:
                scrape(port)
                scraped_s = time.monotonic()
            if turn is not None and time.monotonic() - turned_s > TURN_S:
                watched.pauses.append(paused(child, stop, turn))
                turned_s = time.monotonic()
            time.sleep(SAMPLE_S)
    if child.returncode:
        raise SystemExit(f"the learner ended with exit code {child.returncode}:\n{log.read_text()[-3000:]}")
    return watched


def paused(
    child: subprocess.Popen[bytes], stop: Stopped, meanwhile: Callable[[], None]
) -> tuple[float, float]:
    """Do something while the process stands still; from when to when that was, in epoch milliseconds."""
    child.send_signal(signal.SIGSTOP)
    begin_ms = time.time() * 1000
    try:
        meanwhile()
    finally:
        end_ms = time.time() * 1000
        stop.add((end_ms - begin_ms) / 1000)
        child.send_signal(signal.SIGCONT)
    return begin_ms, end_ms


def scrape(port: int) -> str:
    """Read the metrics, as Prometheus would; empty while the learner is not up yet, or just leaving."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@contextmanager
def committed(servers: Servers, app: str) -> Iterator[Callable[[], int]]:
    """How many events the learner has committed so far, asked of the broker."""
    events = TopicPartition(catalog(app, 1).events.name, 0)
    # Uncommitted too, or the answer would wait for the transaction of a learner that is stopped.
    how = {"group.id": app, "isolation.level": "read_uncommitted"}
    consumer = Consumer({"bootstrap.servers": servers.bootstrap_servers, **how})
    try:
        yield lambda: max(0, consumer.committed([events], 5.0)[0].offset)
    finally:
        consumer.close()


def read_topic(servers: Servers, topic: str) -> list[Any]:
    """Every committed message of partition 0."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers.bootstrap_servers,
            "group.id": "bench",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
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
        if isinstance(record, BatchRecord):
            found.append(Batch(message.timestamp()[1], record.inputs["events"][2]))
    return found


def cpu_at(samples: list[tuple[float, float]], time_ms: float) -> float:
    """CPU seconds used up to a moment, between two samples by proportion."""
    right = min(max(bisect_left(samples, (time_ms, 0.0)), 1), len(samples) - 1)
    (t0, c0), (t1, c1) = samples[right - 1], samples[right]
    return c0 + (c1 - c0) * min(1.0, max(0.0, (time_ms - t0) / (t1 - t0)))


def measure(
    servers: Servers,
    app: str,
    target: str,
    n: int,
    skipped: int,
    late: int | None,
    run: dict[str, str],
    turn: Turn | None = None,
) -> Cost:
    """Write the backlog, learn it, and give the cost of all but the first `skipped` events."""
    write_backlog(servers, app, n, late)
    with committed(servers, app) as so_far:
        watched = learn(servers, target, run, None if turn is None else lambda: turn(so_far()))
    found = batches(servers, app)
    judge(servers, app, n, sum(batch.events for batch in found))
    seen, begin = 0, 0
    while seen < skipped:
        seen += found[begin].events
        begin += 1
    last = max(i for i, batch in enumerate(found) if batch.events)
    return watched.cost(n - seen, found[begin - 1].time_ms, found[last].time_ms)


def judge(servers: Servers, app: str, n: int, journaled: int) -> None:
    """A run counts only if each event was predicted and each label learned."""
    names = catalog(app, 1)
    letters = len(read_topic(servers, names.dead_letters.name))
    stored = read_topic(servers, names.predictions.name)
    if letters or journaled != n or len(stored) != n:
        raise SystemExit(
            f"{app}: {journaled} events journaled, {len(stored)} predicted, {letters} dead letters of {n}"
        )
