"""Prequential accuracy of served predictions on streams that drift, ours beside the alternatives.

    benchmarks/drift [--json] [--seeds N] [--events N] [--streams NAME,…] [--no-ensembles] [--jobs N]

Every column runs through the same core, event by event, labels at once and 1,000 events late; a prediction
counts as it was served. The base model is River's HoeffdingTreeClassifier. `static` never swaps, `retrain` is
River's DriftRetrainingClassifier (DDM), `immediate` swaps at each alarm, `ours` swaps with evidence; the
ensembles ADWINBagging and ARF of ten are told beside them. Exit 1 if `ours` is more than half a point behind
the best single model on over a fifth of the rows.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import orjson
from river import drift, ensemble, forest, tree

from benchmarks.streams import STATIONARY, STREAMS, Row, rows_of
from stream_app import Application, Labels, SwapPolicy
from stream_app.flow.core import Core
from stream_app.flow.outputs import AlertRaised
from stream_app.flow.served import PredictionMade
from stream_app.flow.step import step
from stream_app.state.shard import ShardState
from topics.envelope import EVENT, LABEL, Record

LATE = 1_000
APART_MS = 2
START_MS = 1_700_000_000_000
SLACK = 0.005  # half a point
ENOUGH = 0.8  # of the rows


def hoeffding(_seed: int) -> Any:
    """The base model."""
    return tree.HoeffdingTreeClassifier()


class Column(NamedTuple):
    """A model and the policy that it runs under."""

    make: Callable[[int], Any]
    policy: str


SINGLE = {
    "static": Column(hoeffding, "never"),
    "retrain": Column(
        lambda seed: drift.DriftRetrainingClassifier(hoeffding(seed), drift.binary.DDM()), "never"
    ),
    "immediate": Column(hoeffding, "immediate"),
}
OURS = {"ours": Column(hoeffding, "evidence")}
ENSEMBLES = {
    "bagging": Column(
        lambda seed: ensemble.ADWINBaggingClassifier(hoeffding(seed), n_models=10, seed=seed), "never"
    ),
    "arf": Column(lambda seed: forest.ARFClassifier(n_models=10, seed=seed), "never"),
}
COLUMNS = {**SINGLE, **OURS, **ENSEMBLES}


class Run(NamedTuple):
    """One column of one row: accuracy, and (event, type, text) of every swap and rollback."""

    accuracy: float
    changes: list[tuple[int, str, str]]


def records(rows: list[Row], late: int, keys: int = 1) -> Iterator[Record]:
    """Events with their label inside, or labels `late` events after theirs, just before the event there.

    Keys come in turn.
    """
    waiting: deque[tuple[int, Any]] = deque()
    for i, (features, label) in enumerate(rows):
        at_ms = START_MS + APART_MS * i
        if late and len(waiting) == late:
            number, due = waiting.popleft()
            value = orjson.dumps({"v": 1, "event_id": str(number), "label": due})
            yield Record(LABEL, i - late, at_ms - 1, b"k%d" % (number % keys), value, None)
        event = {"v": 1, "event_id": str(i), "features": features}
        if late:
            waiting.append((i, label))
        else:
            event["label"] = label
        yield Record(EVENT, i, at_ms, b"k%d" % (i % keys), orjson.dumps(event), None)


def run(stream: str, seed: int, events: int, late: int, column: str) -> Run:
    """Play one stream through a shard's core."""
    rows = rows_of(stream, seed, events)
    app = Application(
        name="bench",
        task="multiclass",
        champion=COLUMNS[column].make,
        labels=Labels(horizon="30d"),
        swap=SwapPolicy(policy=COLUMNS[column].policy),
    )
    core = Core(app, ShardState(app, 0))
    outputs = core.out.outputs
    right, changes = 0, list[tuple[int, str, str]]()
    for record in records(rows, late):
        step(core, record)
        for output in outputs:
            if type(output) is PredictionMade:
                right += output.prediction == rows[output.offset][1]
            elif type(output) is AlertRaised and output.type in ("swap", "rollback"):
                changes.append((record.offset, output.type, output.message))
        outputs.clear()
    return Run(right / len(rows), changes)


def told(row: tuple[str, int, int], found: dict[str, Run]) -> dict[str, Any]:
    """One row, and whether ours keeps up."""
    stream, seed, late = row
    best = max(found[name].accuracy for name in SINGLE)
    ours = found["ours"]
    return {
        "stream": stream,
        "seed": seed,
        "late": late,
        "accuracy": {name: one.accuracy for name, one in found.items()},
        "behind": best - ours.accuracy,
        "holds": ours.accuracy >= best - SLACK,
        "swaps": ours.changes,
        "paid": ours.accuracy - found["static"].accuracy,
    }


def show(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """The table, then the swaps of stationary streams."""
    print(f"{'stream':20} {'seed':>4} {'late':>5} " + " ".join(f"{name:>9}" for name in columns))
    for row in rows:
        cells = " ".join(f"{100 * row['accuracy'][name]:9.1f}" for name in columns)
        mark = "" if row["holds"] else f"  behind by {100 * row['behind']:.1f}"
        print(f"{row['stream']:20} {row['seed']:4} {row['late']:5} {cells}{mark}")
    print("\nswaps on stationary streams (paid: points of accuracy beside never swapping)")
    for row in rows:
        if row["stream"] in STATIONARY and row["swaps"]:
            paid = f"paid {100 * row['paid']:+.1f}"
            print(f"{row['stream']:20} {row['seed']:4} {row['late']:5} {len(row['swaps'])} changes, {paid}")


def run_all(
    asked: list[tuple[str, int, int]],
    columns: list[str],
    play: Callable[[str, int, int, int, str], Any],
    row_of: Callable[[tuple[str, int, int], dict[str, Any]], dict[str, Any]],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Play each (stream, seed, late) with each column in `options.jobs` processes; one row for each."""
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(options.jobs) as workers:
        jobs = [
            {name: workers.submit(play, stream, seed, options.events, late, name) for name in columns}
            for stream, seed, late in asked
        ]
        for one, job in zip(asked, jobs, strict=True):
            rows.append(row_of(one, {name: future.result() for name, future in job.items()}))
            sys.stderr.write(f"\r{len(rows)} of {len(asked)} rows")
            if options.json:
                sys.stdout.buffer.write(orjson.dumps(rows[-1]) + b"\n")
                sys.stdout.flush()
    sys.stderr.write("\n")
    return rows


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/drift", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per row on stdout")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--streams", default=",".join(STREAMS))
    parser.add_argument("--ensembles", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    columns = [*SINGLE, *OURS, *(ENSEMBLES if options.ensembles else ())]
    asked = [
        (stream, seed, late)
        for stream in options.streams.split(",")
        for seed in range(1, options.seeds + 1)
        for late in (0, LATE)
    ]
    rows = run_all(asked, columns, run, told, options)
    share = sum(row["holds"] for row in rows) / len(rows)
    if not options.json:
        show(rows, columns)
        print(f"\nours within half a point of the best single model: {share:.0%} of {len(rows)} rows")
    return 0 if share >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
