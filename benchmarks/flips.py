"""What is left of a burst of opposite labels of one source: served accuracy beside that with clean labels.

    benchmarks/flips [--json] [--seeds N] [--jobs N]

Five keys in turn; one of them sends opposite labels for 600 events. Told are the points of accuracy lost in
the 1,500 predictions that begin 1,500 labels after the burst, on average over the seeds and of the worst one,
with `Labels(hold_back=True)` and without; labels at once and 1,000 events late. Without a wrong label learned
a seed of SEA differs by 1.5 points either way: another path of the tree. Exit 1 if with `hold_back` a row
loses more than a point on average.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from statistics import mean
from typing import Any, NamedTuple

import orjson
from river import naive_bayes
from river.datasets import synth

from benchmarks.drift import hoeffding, records
from benchmarks.streams import Row, native
from stream_app import Application, Labels
from stream_app.flow.core import Core
from stream_app.flow.served import PredictionMade
from stream_app.flow.step import step
from stream_app.state.shard import ShardState

KEYS = 5
BEFORE, BURST = 4_000, 600  # events, the burst at their end
WITHIN = WINDOW = 1_500  # labels until it must be over, and predictions that are judged then
LATE = 1_000
MOST = 0.01
STREAMS: dict[str, Callable[[int, int], Any]] = {
    "sine": lambda concept, seed: synth.Sine(classification_function=concept, seed=seed),
    "mixed": lambda concept, seed: synth.Mixed(classification_function=concept, seed=seed),
    "stagger": lambda concept, seed: synth.STAGGER(classification_function=concept, seed=seed),
    "sea": lambda concept, seed: synth.SEA(variant=2 * concept, seed=seed),
}
MODELS: dict[str, Callable[[int], Any]] = {"tree": hoeffding, "bayes": lambda _seed: naive_bayes.GaussianNB()}


class Served(NamedTuple):
    """Whether each prediction was right, by the true labels, and how many labels were held back."""

    right: list[bool]
    held: int


def rows_of(stream: str, concept: int, seed: int, n: int) -> list[Row]:
    """Rows with names and values as JSON has them."""
    rows = islice(iter(STREAMS[stream](concept, seed)), n)
    return [({str(name): native(value) for name, value in x.items()}, native(y)) for x, y in rows]


def flipped(rows: list[Row]) -> list[Row]:
    """The same, but for the burst."""
    burst = range(BEFORE - BURST, BEFORE, KEYS)
    return [(x, type(y)(not y) if i in burst else y) for i, (x, y) in enumerate(rows)]


def served(rows: list[Row], truth: list[Row], late: int, app: Application, keys: int = KEYS) -> Served:
    """Play rows through a shard's core; `truth` judges where labels are wrong."""
    core, right = Core(app, ShardState(app, 0)), list[bool]()
    outputs = core.out.outputs
    for record in records(rows, late, keys):
        step(core, record)
        right += [
            output.prediction == truth[output.offset][1]
            for output in outputs
            if isinstance(output, PredictionMade)
        ]
        outputs.clear()
    return Served(right, core.state.counters.labels_held)


def accuracy(right: list[bool], start: int) -> float:
    """Of `WINDOW` predictions from `start` on."""
    part = right[start : start + WINDOW]
    assert len(part) == WINDOW  # noqa: S101  fewer would be another measurement
    return sum(part) / WINDOW


def run(stream: str, model: str, late: int, seed: int) -> dict[str, float]:
    """The accuracy with clean labels, what the burst costs with `hold_back` and without, and labels held."""
    start = BEFORE + late + WITHIN
    truth = rows_of(stream, 0, seed, start + WINDOW)

    def after(rows: list[Row], *, hold_back: bool) -> tuple[float, int]:
        labels = Labels(horizon="30d", hold_back=hold_back)
        app = Application(name="bench", task="binary", champion=MODELS[model], labels=labels)
        found = served(rows, truth, late, app)
        return accuracy(found.right, start), found.held

    clean, unasked = after(truth, hold_back=True)
    on, held = after(flipped(truth), hold_back=True)
    off, _ = after(flipped(truth), hold_back=False)
    return {"clean": clean, "on": clean - on, "off": clean - off, "held": held, "held_of_clean": unasked}


def told(row: tuple[str, str, int], seeds: list[dict[str, float]]) -> dict[str, Any]:
    """One row of the table."""
    lost = {way: [one[way] for one in seeds] for way in ("on", "off")}
    return {
        "stream": row[0],
        "model": row[1],
        "late": row[2],
        "clean": mean(one["clean"] for one in seeds),
        **{name: mean(values) for name, values in lost.items()},
        **{f"{name}_worst": max(values) for name, values in lost.items()},
        "held": mean(one["held"] for one in seeds),
        "held_of_clean": mean(one["held_of_clean"] for one in seeds),
        "holds": mean(lost["on"]) <= MOST,
    }


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/flips", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per row on stdout")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    asked = [(stream, model, late) for late in (0, LATE) for model in MODELS for stream in STREAMS]
    holds = True
    if not options.json:
        print(
            "points of accuracy lost, on average (worst seed); labels held, of the burst and of clean labels"
        )
        print("stream   model   late  clean       hold_back         without         held")
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [[pool.submit(run, *row, seed) for seed in range(1, options.seeds + 1)] for row in asked]
        for row, job in zip(asked, jobs, strict=True):
            found = told(row, [one.result() for one in job])
            holds = holds and found["holds"]
            if options.json:
                sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
                sys.stdout.flush()
                continue
            on, off = (f"{100 * found[w]:.2f} ({100 * found[f'{w}_worst']:.1f})" for w in ("on", "off"))
            held = f"{found['held']:.0f} / {found['held_of_clean']:.0f}"
            print(
                f"{row[0]:8} {row[1]:6} {row[2]:5} {100 * found['clean']:6.1f} {on:>15} {off:>15} {held:>12}"
                + ("" if found["holds"] else "  more than a point"),
                flush=True,
            )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
