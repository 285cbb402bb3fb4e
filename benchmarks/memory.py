"""A million entities with three features each in the learner's state: resident memory and bytes per entity.

    benchmarks/memory [--json] [--entities N] [--events N]

The state is built by the real `step`: every entity has its `--events` events within ten minutes, the window
of its `count`, in turns with all the others. So each event opens a bucket of its own, and nothing is dropped.
Exit 1 if the process, with models, ids and libraries, is above 2 GiB at its peak.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time

import orjson
import psutil

from benchmarks.common import made

os.environ["STREAM_APP_BENCH_FEATURES"] = "1"

from benchmarks import definitions  # it reads the environment
from stream_app.flow.core import Core
from stream_app.flow.step import step
from stream_app.state.shard import ShardState
from topics.envelope import EVENT, Record

BOUND_BYTES = 2 << 30
SPAN_MS = 600_000
START_MS = 1_700_000_000_000
COLLECT_EVERY = 100_000  # events, as the learner collects between batches


def main() -> int:
    """Fill the state and tell what it takes."""
    parser = argparse.ArgumentParser(prog="benchmarks/memory", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=3, help="per entity")
    options = parser.parse_args()
    core = Core(definitions.logistic, ShardState(definitions.logistic, 0))
    process = psutil.Process()
    gc.disable()
    before = peak = process.memory_info().rss
    started_s = time.perf_counter()
    n = options.entities * options.events
    outputs = core.out.outputs
    for i, event in enumerate(made(n, options.entities)):
        value = event.event(inline=True)
        step(core, Record(EVENT, i, START_MS + i * SPAN_MS // n, event.key.encode(), value))
        if i % COLLECT_EVERY == 0:
            outputs.clear()
            gc.collect(1)
            peak = max(peak, process.memory_info().rss)
            print(f"{i:,} of {n:,} events, peak {peak / 2**20:,.0f} MiB", file=sys.stderr)
    took_s = time.perf_counter() - started_s
    rss = process.memory_info().rss
    peak = max(peak, rss)
    entities = len(core.state.entities)
    told = {
        "entities": entities,
        "events": core.state.counters.predictions,
        "features": len(definitions.logistic.features),
        "before_mib": before / 2**20,
        "resident_mib": rss / 2**20,
        "peak_mib": peak / 2**20,
        "bound_mib": BOUND_BYTES / 2**20,
        "bytes_per_entity": (rss - before) / entities,
        "ids": len(core.state.ids),
        "seconds": took_s,
        "holds": peak <= BOUND_BYTES,
    }
    if entities != options.entities or core.state.counters.predictions != n:
        raise SystemExit(f"{entities} entities of {options.entities}, {core.state.counters} of {n} events")
    if options.json:
        sys.stdout.buffer.write(orjson.dumps(told) + b"\n")
    else:
        print(f"{entities:,} entities, {told['features']} features, {options.events} events each")
        print(f"resident {told['resident_mib']:,.0f} MiB (peak {told['peak_mib']:,.0f}), of 2,048 allowed")
        print(
            f"{told['bytes_per_entity']:,.0f} bytes an entity, {told['ids']:,} ids for deduplication included"
        )
    return 0 if told["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
