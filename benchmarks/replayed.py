"""Restore and replay of a shard, timed: `python -m benchmarks.replayed MODEL earliest|snapshot`.

The recovery of a learner without its group: newest snapshot or fresh state, then the journal to its end,
every digest compared. Prints one JSON object.
"""

from __future__ import annotations

import gc
import sys
import time

import orjson

from benchmarks import definitions
from stream_app.adapters.clock import SystemClock
from stream_app.application import Application
from stream_app.cli.context import settings_for
from stream_app.learner.history.verify import PAUSE_S, drain
from stream_app.learner.recovery.recover import first_entry, fresh, newest_snapshot, resumed
from stream_app.learner.recovery.replay import replay
from stream_app.learner.recovery.store_calls import at_once
from stream_app.wiring import learner as wiring
from stream_app.wiring.topics import catalog_for
from topics.journal import EpochRecord
from topics.life import life_of


def main(model: str, start: str) -> None:
    """Bring a machine to the journal's end and tell what that took."""
    app: Application = getattr(definitions, model)
    settings = settings_for()
    topics = wiring.input_topics(catalog_for(app, settings))
    prints = wiring.fingerprint_for(app, settings, None)
    store = wiring.store_opener(app, settings, life_of(prints["topics"]))(0)
    source = wiring.source_opener(app, settings)(0)
    gc.disable()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    first = drain(first_entry(source, -1))
    if first is None or not isinstance(first[1], EpochRecord):
        raise SystemExit("the journal has no beginning")
    processor, offset = fresh(app, 0, first[1], topics, store), first[0]
    if start == "snapshot":
        loaded = drain(newest_snapshot(at_once, store, source, app, 0, prints))
        if loaded is None:
            raise SystemExit("no snapshot was taken")
        header, state = loaded
        processor = resumed(app, header, state, topics, store)
        offset = header["journal_offset"]
    restored = processor.core.state.counters.events
    restore_s = time.perf_counter() - wall_s
    for more in replay(processor, source, offset + 1, SystemClock()):
        if not more:
            time.sleep(PAUSE_S)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    source.close()
    events = processor.core.state.counters.events
    told = {
        "events": events,
        "replayed": events - restored,
        "restore_s": restore_s,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
    }
    sys.stdout.buffer.write(orjson.dumps(told) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
