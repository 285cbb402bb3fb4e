"""Bare River over the same rows, in a process of its own: `python -m benchmarks.bare MODEL EVENTS SKIPPED`.

The rows are parsed beforehand; predict_proba_one and learn_one are all that is timed. For each number read
from stdin it goes on to that event, and prints what that took, without the first SKIPPED events, as JSON.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

import orjson

from benchmarks import definitions
from benchmarks.common import APART_MS, made
from stream_app.application import Application
from stream_app.models.seeds import seed_for
from stream_app.state.windows import Windows


def rows(app: Application, n: int) -> list[tuple[dict[str, Any], bool]]:
    """Rows as the model gets them: the entity's features first, then the event's own."""
    windows, entities = Windows(app.features), dict[str, Any]()
    result = []
    for i, event in enumerate(made(n)):
        features = orjson.loads(orjson.dumps(event.features))
        row: dict[str, Any] = {}
        if app.features:
            entity = entities.setdefault(event.key, windows.new())
            row = windows.row(entity, i * APART_MS)
            windows.update(entity, i * APART_MS, features)
        row.update(features)
        result.append((row, event.label))
    return result


def main(model: str, n: int, skipped: int) -> None:
    """Advance as asked for."""
    app: Application = getattr(definitions, model)
    stream = rows(app, n)
    river = app.champion(seed_for(app.seed, "champion", 0))
    predict, learn = river.predict_proba_one, river.learn_one
    gc.collect()
    gc.freeze()
    done = 0
    for line in sys.stdin:
        end = max(done, min(n, int(line)))
        begin = max(done, min(end, skipped))
        for row, label in stream[done:begin]:
            predict(row)
            learn(row, label)
        part = stream[begin:end]
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for row, label in part:
            predict(row)
            learn(row, label)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        done = end
        sys.stdout.buffer.write(orjson.dumps({"events": len(part), "wall_s": wall_s, "cpu_s": cpu_s}) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
