"""How good the blend of a pool is: accuracy beside each of its models, the swap policy and ensembles.

    benchmarks/quality [--json] [--seeds N] [--events N] [--streams A,B] [--ensembles] [--jobs N]

Drifting and stationary streams that are made up, and the real ones that River brings along; labels at once
and 1,000 events late; everything is served, nothing predicted again. One run of the blend gives its accuracy
and that of each of its models. `swap` is the same pool with one champion and the default policy. The
ensembles take 2 to 20 ms an event, so they are asked for. The table ends with the share of rows on which the
blend is within half a point of the best single model or policy, and on which it is ahead. Exit 1 where those
are below 95 % and 50 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from river import datasets, drift, ensemble, forest

from benchmarks.drift import LATE, hoeffding, records, run_all
from benchmarks.streams import STREAMS, Row, native, rows_of
from stream_app import Application, Labels, SwapPolicy, pool
from stream_app.flow.core import Core
from stream_app.flow.served import PredictionMade
from stream_app.flow.step import step
from stream_app.state.shard import ShardState

SLACK, WITHIN, AHEAD = 0.005, 0.95, 0.5
REAL: dict[str, Callable[[], Any]] = {
    "Phishing": datasets.Phishing,
    "Bananas": datasets.Bananas,
    "ImageSegments": datasets.ImageSegments,
    "Shuttle": datasets.Shuttle,
}
ENSEMBLES: dict[str, Callable[[int], Any]] = {
    "bagging": lambda seed: ensemble.ADWINBaggingClassifier(hoeffding(seed), n_models=10, seed=seed),
    "arf": lambda seed: forest.ARFClassifier(n_models=10, seed=seed),
    "srp": lambda seed: ensemble.SRPClassifier(model=hoeffding(seed), n_models=10, seed=seed),
}
ALONE: dict[str, Callable[[int], Any]] = {
    "retrained": lambda seed: drift.DriftRetrainingClassifier(
        hoeffding(seed), drift_detector=drift.binary.DDM()
    ),
}


class Run(NamedTuple):
    """Accuracy by name, and µs of CPU an event."""

    accuracy: dict[str, float]
    us: float


def stream_rows(stream: str, seed: int, n: int) -> list[Row]:
    """At most n rows; labels of two classes become booleans."""
    if stream in STREAMS:
        rows = rows_of(stream, seed, n)
    else:
        found = [({str(k): native(v) for k, v in x.items()}, native(y)) for x, y in REAL[stream]()]
        rows = found[:n]
    classes = sorted({str(y) for _, y in rows})
    return rows if len(classes) != 2 else [(x, str(y) == classes[1]) for x, y in rows]


def application(column: str, task: str) -> Application:
    """What is run for a column."""
    common: dict[str, Any] = {"name": "bench", "labels": Labels(horizon="30d")}
    if column == "blend":
        return Application(**common, **pool(task))
    if column == "swap":
        return Application(**common, **{**pool(task), "serve": "champion"})
    make = {**ALONE, **ENSEMBLES}[column]
    return Application(**common, task=task, champion=make, swap=SwapPolicy(policy="never"))


def run(stream: str, seed: int, events: int, late: int, column: str) -> Run:
    """Play one stream through a shard's core."""
    rows = stream_rows(stream, seed, events)
    task = "binary" if type(rows[0][1]) is bool else "multiclass"
    app = application(column, task)
    core = Core(app, ShardState(app, 0))
    members = {slot.version: slot.name for slot in core.state.slots if column == "blend"}
    labelled = len(rows) - late  # the others are never judged
    right, found = 0, dict[str, float]()
    outputs, begun_s = core.out.outputs, time.process_time()
    for record in records(rows, late):
        step(core, record)
        for output in outputs:
            if type(output) is PredictionMade and output.offset < labelled:
                right += output.prediction == rows[output.offset][1]
        outputs.clear()
    spent_s = time.process_time() - begun_s
    found[column] = right / labelled
    for slot in core.state.slots:
        if slot.version in members:
            scores = slot.scores.report()["cumulative"]
            found[slot.name] = scores.get("accuracy", 0.0) * scores["n"] / labelled
    return Run(found, spent_s / len(rows) * 1e6)


def row_of(asked: tuple[str, int, int], found: dict[str, Run]) -> dict[str, Any]:
    """One row: all accuracies, the cost of each run, and how far the blend is ahead of the best."""
    accuracy = {name: value for one in found.values() for name, value in one.accuracy.items()}
    rivals = {name: value for name, value in accuracy.items() if name not in ("blend", *ENSEMBLES)}
    best = max(rivals, key=lambda name: rivals[name])
    return {
        "stream": asked[0],
        "seed": asked[1],
        "late": asked[2],
        "accuracy": accuracy,
        "us": {name: one.us for name, one in found.items()},
        "best": best,
        "ahead": accuracy["blend"] - rivals[best],
    }


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""
    names = list(rows[0]["accuracy"])
    print(
        f"{'stream':20} {'seed':>4} {'late':>5} " + " ".join(f"{name:>9}" for name in names) + "   ahead of"
    )
    for row in rows:
        cells = " ".join(f"{100 * row['accuracy'][name]:9.1f}" for name in names)
        ahead = f"{100 * row['ahead']:+6.2f} {row['best']}"
        print(f"{row['stream']:20} {row['seed']:4} {row['late']:5} {cells}  {ahead}")
    for name in rows[0]["us"]:
        print(f"{name}: {sum(row['us'][name] for row in rows) / len(rows):,.0f} µs an event")


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/quality", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per row on stdout")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--streams", default=",".join([*STREAMS, *REAL]))
    parser.add_argument("--ensembles", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    columns = ["blend", "swap", *ALONE, *(ENSEMBLES if options.ensembles else ())]
    asked = [
        (stream, seed, late)
        for stream in options.streams.split(",")
        for seed in range(1, (options.seeds if stream in STREAMS else 1) + 1)
        for late in (0, LATE)
    ]
    rows = run_all(asked, columns, run, row_of, options)
    within = sum(row["ahead"] >= -SLACK for row in rows) / len(rows)
    ahead = sum(row["ahead"] > 0 for row in rows) / len(rows)
    if not options.json:
        show(rows)
        print(
            f"\nblend within half a point of the best: {within:.0%} of {len(rows)} rows, ahead: {ahead:.0%}"
        )
    return 0 if within >= WITHIN and ahead >= AHEAD else 1


if __name__ == "__main__":
    sys.exit(main())
