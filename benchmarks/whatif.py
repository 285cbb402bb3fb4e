"""What a `what-if` over recorded events costs a live learner beside it, and how fast it replays them.

    benchmarks/whatif [--json] [--events N] [--share S]

A learner learns a backlog of N events (100,000), whose middle gives its maximum rate. Then it is fed at a
share (0.3) of that rate: for half a minute alone, while `what-if` replays all that is recorded with another
definition beside what was served, and for half a minute alone again. The latency of a prediction is from the
moment its event is written to the moment a consumer of committed records has it.

Exit 1 if `what-if` replays fewer events a second than the learner's maximum rate.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import orjson
from confluent_kafka import Consumer, TopicPartition
from river import linear_model, preprocessing

from benchmarks import steady
from benchmarks.common import ROOT, Servers, servers
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.embedded.ports import free_ports
from topics.catalog import catalog

EVENTS = 100_000
ALONE_S = 30.0
TICK_S = 0.02

other = replace(
    steady.app,
    name="bench-other",
    champion=lambda _: preprocessing.StandardScaler() | linear_model.Perceptron(),
    challengers={},
)


class Latencies(NamedTuple):
    """Milliseconds of the middle prediction, and of one in a hundred."""

    n: int
    p50_ms: float
    p99_ms: float


class Watch(threading.Thread):
    """Notes when each committed prediction came, and how long after its event."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(name="watch", daemon=True)
        self.seen: list[tuple[float, float]] = []  # s of the monotonic clock, ms
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "bench-watch",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 5,
                "enable.auto.commit": False,
            }
        )
        place = TopicPartition(catalog(steady.app.name, 1).predictions.name, 0)
        _, place.offset = self.consumer.get_watermark_offsets(place, 10.0)
        self.consumer.assign([place])
        self.ending = threading.Event()

    def run(self) -> None:
        """Until `ending`."""
        while not self.ending.is_set():
            for message in self.consumer.consume(1_000, 0.05):
                if message.error() is None:
                    late_ms = time.time() * 1000 - message.timestamp()[1]
                    self.seen.append((time.monotonic(), late_ms))
        self.consumer.close()

    def between(self, start_s: float, end_s: float) -> Latencies:
        """Of the predictions that came between two moments."""
        found = sorted(late_ms for at_s, late_ms in self.seen if start_s <= at_s < end_s)
        if not found:
            raise SystemExit("no prediction came")
        return Latencies(len(found), found[len(found) // 2], found[len(found) * 99 // 100])


class Feeding(threading.Thread):
    """Writes events at a rate, each stamped when it is written."""

    def __init__(self, feeder: steady.Feeder, rate: float) -> None:
        super().__init__(name="feeding", daemon=True)
        self.feeder, self.rate = feeder, rate
        self.ending = threading.Event()

    def run(self) -> None:
        """Until `ending`."""
        start_s, already = time.monotonic(), self.feeder.sent
        while not self.ending.is_set():
            self.feeder.keep_up(self.rate, start_s, already)
            time.sleep(TICK_S)


def ask(found: Servers) -> float:
    """Run `what-if` as a user would; the events that both definitions were asked in a second."""
    command = [sys.executable, "-m", "stream_app", "what-if", "benchmarks.steady:app"]
    started_s = time.monotonic()
    done = subprocess.run(
        [*command, "--definition", "benchmarks.whatif:other", "--json"],
        cwd=ROOT,
        env=found.environment,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"what-if ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    events: int = sum(orjson.loads(row)["predictions"] for row in done.stdout.splitlines())
    return events / (time.monotonic() - started_s)


def main() -> int:
    """Measure and report; 1 where `what-if` is slower than the learner."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--share", type=float, default=0.3)
    options = parser.parse_args()
    (port,) = free_ports(0)
    with servers() as found:
        with TopicAdmin({"bootstrap_servers": found.bootstrap_servers.split(",")}) as admin:
            admin.create(catalog(steady.app.name, 1))
        feeder = steady.Feeder(found.bootstrap_servers)
        with steady.learner(found, port):
            most = steady.maximum(feeder, port, options.events)
            watch, feeding = Watch(found.bootstrap_servers), Feeding(feeder, options.share * most)
            watch.start()
            feeding.start()
            time.sleep(ALONE_S / 3)  # what the backlog left is over
            marks = [time.monotonic()]
            time.sleep(ALONE_S)
            marks.append(time.monotonic())
            rate = ask(found)
            marks.append(time.monotonic())
            time.sleep(ALONE_S)
            marks.append(time.monotonic())
            feeding.ending.set()
            feeding.join()
            feeder.flush()
            watch.ending.set()
            watch.join()
    report = {
        "maximum_events_per_s": round(most),
        "fed_events_per_s": round(options.share * most),
        "what_if_events_per_s": round(rate),
        **{
            when: watch.between(start, end)._asdict()
            for when, (start, end) in zip(("before", "beside", "after"), pairwise(marks), strict=True)
        },
    }
    steady.show(report, json=options.json)
    return int(rate < most)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main())
