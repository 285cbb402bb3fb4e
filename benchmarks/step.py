"""A shard's steps beside bare River, in turns in one process: no Kafka, and noise slows all three alike.

    benchmarks/step [--json] [--models logistic,hoeffding,arf] [--scale X]

A block of rows goes through bare River, through the compiled machine with the default monitors, and through
the one without, in turns; reading, encoding and sealing are in it. The first tenth is left out. Exit 1 if the
monitors cost more than 15 % of the events per second without them.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import orjson

from benchmarks import definitions
from benchmarks.bare import rows
from benchmarks.common import APART_MS, made
from benchmarks.throughput import CASES, SKIPPED, WATCHED
from stream_app.application import Application
from stream_app.flow.core import Core
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.models.seeds import seed_for
from stream_app.state.shard import ShardState
from topics.envelope import EVENT, Record

BLOCK = 1_000  # records, as many as are polled at once
BATCH = 4  # blocks between two seals
START_MS = 1_700_000_000_000


def machine_of(app: Application) -> Callable[[int, list[Record]], None]:
    """A fresh shard that takes blocks by their number."""
    core = Core(app, ShardState(app, 0))
    processor = BatchProcessor(
        core, ("e", "l", "c"), epoch=1, seq=0, digest=FIRST_DIGEST, positions=[0, 0, 0]
    )

    def take(block: int, records: list[Record]) -> None:
        processor.apply([(EVENT, records)])
        if block % BATCH == BATCH - 1:
            processor.seal()

    return take


def measure(model: str, n: int) -> dict[str, float]:
    """Microseconds an event of each."""
    app: Application = getattr(definitions, model)
    watched, unwatched = machine_of(app), machine_of(replace(app, drift=()))
    river = app.champion(seed_for(app.seed, "champion", 0))
    predict, learn = river.predict_proba_one, river.learn_one
    stream, events = rows(app, n), list(made(n))
    gc.collect()
    gc.freeze()
    gc.disable()
    took = {"bare": 0.0, "watched": 0.0, "unwatched": 0.0}
    counted = 0
    for block, first in enumerate(range(0, n, BLOCK)):
        part = stream[first : first + BLOCK]
        records = [
            Record(EVENT, i, START_MS + i * APART_MS, event.key.encode(), event.event(inline=True))
            for i, event in enumerate(events[first : first + BLOCK], first)
        ]
        stamps = [time.perf_counter()]
        for row, label in part:
            predict(row)
            learn(row, label)
        stamps.append(time.perf_counter())
        for take in (watched, unwatched):
            take(block, records)
            stamps.append(time.perf_counter())
        if first >= n * SKIPPED:
            counted += len(part)
            for name, begin, end in zip(took, stamps, stamps[1:], strict=False):
                took[name] += end - begin
    return {name: spent_s / counted * 1e6 for name, spent_s in took.items()}


def main() -> int:
    """Run the models asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/step", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per model on stdout")
    parser.add_argument("--models", default=",".join(case.model for case in CASES))
    parser.add_argument("--scale", type=float, default=0.5, help="times the events of benchmarks/throughput")
    options = parser.parse_args()
    good = True
    for case in CASES:
        if case.model not in options.models.split(","):
            continue
        us = measure(case.model, max(10 * BLOCK, round(case.events * options.scale)))
        shares = {name: us["bare"] / us[name] for name in ("watched", "unwatched")}
        left = us["unwatched"] / us["watched"]
        good = good and left >= WATCHED
        if options.json:
            sys.stdout.buffer.write(
                orjson.dumps({"model": case.model, "us": us, **shares, "monitors_leave": left}) + b"\n"
            )
            sys.stdout.flush()
        else:
            print(
                f"{case.model:10} bare River {us['bare']:7.1f} µs · ours {us['watched']:7.1f} "
                f"({shares['watched']:.2f} of its speed) · without monitors {us['unwatched']:7.1f} "
                f"({shares['unwatched']:.2f}) · monitors leave {left:.2f}, at least {WATCHED} asked",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
