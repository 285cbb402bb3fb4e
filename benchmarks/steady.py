"""A learner at half of its maximum rate: does its memory or its lag grow once all that is bounded is full?

    benchmarks/steady [--json] [--minutes M] [--rate EVENTS_PER_SECOND]

The maximum rate is measured first, on a backlog, unless --rate gives the rate of the run. Events carry their
label; entities, ids and models are bounded, and the bounds are reached within the warm-up, a third of the
run. Memory is the learner's alone. Slopes are least squares over the rest of the run.

Exit 1 if memory grows by more than 1 MiB a minute, or lag by more than a hundredth of the rate a minute.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import linear_regression
from typing import Any, NamedTuple

import orjson
import psutil
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from river import linear_model, preprocessing, tree

from benchmarks.common import ROOT, Made, Servers, made, servers
from benchmarks.service import scrape
from stream_app import Application, Labels
from stream_app import features as f
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.application import Limits
from stream_app.embedded.ports import free_ports
from topics.catalog import catalog

app = Application(
    name="bench-steady",
    task="binary",
    champion=lambda _: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    challengers={"tree": lambda _: tree.HoeffdingTreeClassifier(max_size=5.0, memory_estimate_period=10_000)},
    labels=Labels(horizon="1m"),
    features=[f.count(window="1m"), f.mean("age_of_domain", window="1m")],
    dedupe="2m",
    ttl="2m",
    limits=Limits(max_ids=100_000),
)
BACKLOG = 40_000  # events, for the maximum rate
SAMPLE_S = 5.0
TICK_S = 0.05
WARM_UP = 1 / 3
MOST_MIB_A_MINUTE = 1.0
MOST_LAG_SHARE = 0.01


class Sample(NamedTuple):
    """What was seen `at_s` seconds after the start of the run."""

    at_s: float
    resident_mib: float
    lag: float


class Feeder:
    """Writes made-up events, each stamped when it is written."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.topic = catalog(app.name, 1).events.name
        self.producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "linger.ms": 20, "compression.type": "lz4"}
        )
        self.events: Iterator[Made] = made(1 << 60)
        self.sent = 0

    def send(self, n: int) -> None:
        """Write the next n events."""
        for _ in range(n):
            event = next(self.events)
            self.producer.produce(self.topic, event.event(inline=True), event.key.encode(), 0)
            self.sent += 1
        self.producer.poll(0)

    def keep_up(self, rate: float, since_s: float, already: int) -> None:
        """Write what is due at a rate since a moment of the monotonic clock, at which `already` were sent."""
        due = round(rate * (time.monotonic() - since_s))
        self.send(max(0, due - (self.sent - already)))

    def flush(self) -> None:
        """Wait until all are written."""
        if self.producer.flush(60):
            raise SystemExit("the events could not be written")


@contextmanager
def learner(found: Servers, port: int) -> Iterator[psutil.Process]:
    """`stream-app learn`, which ends at the end of the block."""
    command = [sys.executable, "-m", "stream_app", "learn", "benchmarks.steady:app", "--no-supervise"]
    environment = {**found.environment, "STREAM_APP_LEARNER__METRICS_PORT": str(port)}
    log = found.directory / "learner.log"
    with log.open("ab") as stderr:
        child = subprocess.Popen([*command, "--no-admission"], cwd=ROOT, env=environment, stderr=stderr)
        try:
            yield psutil.Process(child.pid)
            if child.poll() is not None:
                raise SystemExit(f"the learner ended early:\n{log.read_text()[-3000:]}")
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(60)


def metrics(port: int) -> dict[str, float]:
    """Sums of the metrics by name; none while the learner does not answer."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(scrape(port)):
        for sample in family.samples:
            if sample.labels.get("outcome", "predictions") == "predictions":
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def predicted(port: int) -> float:
    """Predictions so far."""
    return metrics(port).get("stream_app_records_total", 0.0)


def maximum(feeder: Feeder, port: int, backlog: int = BACKLOG) -> float:
    """Events a second over the middle of a backlog."""
    feeder.send(backlog)
    feeder.flush()
    marks: list[tuple[float, float]] = []
    while (n := predicted(port)) < backlog:
        if n > backlog / 10:
            marks.append((time.monotonic(), n))
        time.sleep(0.5)
    marks.append((time.monotonic(), n))
    (first_s, first), (last_s, last) = marks[0], marks[-1]
    return (last - first) / (last_s - first_s)


def run(feeder: Feeder, process: psutil.Process, port: int, rate: float, seconds: float) -> list[Sample]:
    """Feed at `rate` for so long; a sample every few seconds."""
    samples: list[Sample] = []
    start_s, already = time.monotonic(), feeder.sent
    while (at_s := time.monotonic() - start_s) < seconds:
        feeder.keep_up(rate, start_s, already)
        if at_s >= SAMPLE_S * (len(samples) + 1):
            resident_mib = process.memory_info().rss / (1 << 20)
            samples.append(Sample(at_s, resident_mib, metrics(port).get("stream_app_lag_records", 0.0)))
            sys.stderr.write(f"\r{at_s / 60:.1f} min, {resident_mib:.0f} MiB, {samples[-1].lag:.0f} behind  ")
            sys.stderr.flush()
        time.sleep(TICK_S)
    sys.stderr.write("\n")
    return samples


def show(report: dict[str, Any], *, json: bool) -> None:
    """Print a report, a line for each figure or all as one JSON object."""
    text = orjson.dumps(report).decode() if json else "\n".join(f"{k}: {v}" for k, v in report.items())
    sys.stdout.write(f"{text}\n")


def main() -> int:
    """Measure and report; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args()
    (port,) = free_ports(0)
    with servers() as found:
        with TopicAdmin({"bootstrap_servers": found.bootstrap_servers.split(",")}) as admin:
            admin.create(catalog(app.name, 1))
        feeder = Feeder(found.bootstrap_servers)
        with learner(found, port) as process:
            most = None if options.rate else maximum(feeder, port)
            rate = options.rate or (most or 0.0) / 2
            samples = run(feeder, process, port, rate, 60 * options.minutes)
            feeder.flush()
    steady = samples[round(len(samples) * WARM_UP) :]
    minutes = [sample.at_s / 60 for sample in steady]
    memory = linear_regression(minutes, [sample.resident_mib for sample in steady]).slope
    lag = linear_regression(minutes, [sample.lag for sample in steady]).slope
    report = {
        "minutes": options.minutes,
        "maximum_events_per_s": most and round(most),
        "events_per_s": round(rate),
        "resident_mib": [round(steady[0].resident_mib), round(steady[-1].resident_mib)],
        "memory_mib_per_minute": round(memory, 3),
        "lag_events_per_minute": round(lag, 1),
    }
    show(report, json=options.json)
    return int(memory > MOST_MIB_A_MINUTE or lag > MOST_LAG_SHARE * rate)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main())
