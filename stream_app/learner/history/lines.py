"""The table of a backtest: a line for each model, with what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.flow.core import RefillSets
from stream_app.models.calls import bind, reply
from stream_app.state.scores import Scores
from stream_app.state.shard import ShardState
from stream_app.state.slot import Slot

SERVED, LAST_LABEL = "served", "last label"
ASKED = 200  # predictions that a model's time is measured with
Z = 1.96  # of a 95 % interval


class Storage(msgspec.Struct):
    """How models are stored and loaded, as snapshots do it."""

    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]
    refill_sets: RefillSets

    def round_trip(self, model: Any) -> Any:
        """What loading gives of what was stored."""
        return self.load(self.dump(model))


class Line(msgspec.Struct):
    """One model's row of the table.

    `scores` are of all predictions it made, `low` and `high` the 95 % interval of the first one, if labels
    were independent. `predict_us` and `size` (bytes, pickled) are of the model as it ended.
    """

    name: str
    version: int | None
    scores: dict[str, float]
    low: float | None
    high: float | None
    predict_us: float | None = None
    size: int | None = None

    @property
    def title(self) -> str:
        """Name and version."""
        return self.name if self.version is None else f"{self.name} v{self.version}"


def lines(
    app: Application,
    states: Sequence[ShardState],
    served: Sequence[Scores],
    others: dict[str, Scores],
    score: str,
    storage: Storage,
) -> list[Line]:
    """What was served first, then every model that is there at the end by its score, then the last label.

    `served` are the scores of each shard's answers, `others` those of what was not the definition's.
    """
    by_model: dict[tuple[str, int], list[tuple[ShardState, Slot]]] = {}
    for state in states:
        for slot in state.slots:
            by_model.setdefault((slot.name, slot.version), []).append((state, slot))
    models = []
    for (name, version), found in by_model.items():
        line = line_of(name, version, [slot.scores for _, slot in found], score)
        state, slot = found[0]
        if slot.failed is None:
            line.predict_us, line.size = cost(app, state, slot, storage)
        if line.scores["n"]:  # a candidate of the last search may have served nobody yet
            models.append(line)
    sign = 1 if score == "mae" else -1
    models.sort(key=lambda line: sign * line.scores.get(score, sign * 1e300))
    first = line_of(SERVED, None, served, score)
    beside = [line_of(name, None, [scores], score) for name, scores in others.items()]
    last = line_of(LAST_LABEL, None, [state.baseline for state in states], score)
    return [first, *models, *beside, last]


def line_of(name: str, version: int | None, parts: Sequence[Scores], score: str) -> Line:
    """One line of all shards together."""
    block: Any = type(parts[0].block)()
    for part in parts:
        block.add(part.total)
        block.add(part.block)
    report = block.report()
    low, high = interval(report, score)
    return Line(name, version, report, low, high)


def interval(report: dict[str, float], score: str) -> tuple[float | None, float | None]:
    """The 95 % interval of an accuracy (Wilson) or of a mean absolute error (normal).

    >>> [round(one, 3) for one in interval({"n": 100, "accuracy": 0.9}, "accuracy")]
    [0.826, 0.945]
    """
    n = report["n"]
    if not n:
        return None, None
    value = report[score]
    if score == "accuracy":
        middle, spread = value + Z * Z / (2 * n), Z * sqrt(value * (1 - value) / n + (Z / (2 * n)) ** 2)
        return (middle - spread) / (1 + Z * Z / n), (middle + spread) / (1 + Z * Z / n)
    half = Z * sqrt(max(0.0, report["rmse"] ** 2 - value**2) / n)
    return value - half, value + half


def cost(
    app: Application, state: ShardState, slot: Slot, storage: Storage
) -> tuple[float | None, int | None]:
    """µs of one prediction and pickled bytes of a copy; None where it cannot be stored."""
    try:
        stored = storage.dump(slot.model)
        copy = storage.load(stored)
    except Exception:
        return None, None
    rows = list(state.sample_rows)
    if slot.cold or not rows:
        return None, len(stored)
    calls = bind(copy, app.question)
    started_s = time.process_time()
    for number in range(ASKED):
        reply(calls, rows[number % len(rows)])
    return (time.process_time() - started_s) * 1e6 / ASKED, len(stored)
