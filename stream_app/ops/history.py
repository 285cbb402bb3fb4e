"""Bounded history of figures in two resolutions, keyed by time slot: what comes twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from topics.records import Stats

NEAR_MS, FAR_MS = 2_000, 60_000
STEPS_MS = (NEAR_MS, FAR_MS)
LOOK_BACK = 7  # slots: an idle shard sends statistics every ten seconds, and its line has no gap
LINES = 10  # of one chart
BLEND = "blend v"  # how what answers begins where it is a blend

Score = tuple[float, float]  # the value and over how many predictions


class Point(msgspec.Struct, frozen=True):
    """One shard's figures at one moment. Counts grow for ever; `scores` by `<slot> v<version>`, and so the
    `weights` of a blend's models.
    """

    shard: int
    time_ms: int
    predictions: int
    learned: int
    dead: int
    drifts: int
    waiting: int
    lag: int | None
    lag_s: float | None
    serving: str
    scores: dict[str, Score]
    baseline: Score | None
    weights: dict[str, float] = {}


class Row(NamedTuple):
    """One or all shards in one slot: rates per second, lag of the worst shard, scores weighted by n."""

    time_ms: int
    rate: float | None
    lag: int | None
    lag_s: float | None
    waiting: int
    serving: float | None
    rival: float | None
    baseline: float | None
    slots: dict[str, float]
    weights: dict[str, float]
    marks: list[str]


def score_name(task: str) -> str:
    """The score that a person looks at first."""
    return "mae" if task == "regression" else "accuracy"


def score_of(report: dict[str, dict[str, float]], name: str) -> Score | None:
    """The rolling score of a report, None before there is any."""
    rolling = report.get("rolling", {})
    value, n = rolling.get(name), rolling.get("n", 0)
    return (value, n) if isinstance(value, int | float) and n else None


def point_of(stats: Stats, name: str) -> Point:
    """What the charts need of one record."""
    found = {f"{slot.name} v{slot.version}": score_of(slot.scores, name) for slot in stats.slots}
    serving = next((f"{slot.name} v{slot.version}" for slot in stats.slots if slot.name == stats.serving), "")
    counts = stats.counts
    return Point(
        stats.shard,
        stats.time_ms,
        counts.get("predictions", 0),
        counts.get("labels_learned", 0),
        sum(stats.dead_letters.values()),
        counts.get("drifts", 0),
        stats.waiting.get("pending", 0),
        sum(stats.lag.values()) if stats.lag else None,
        stats.lag_s,
        serving,
        {slot: score for slot, score in found.items() if score is not None},
        score_of(stats.baseline, name),
        {
            f"{slot.name} v{slot.version}": slot.weight
            for slot in stats.slots
            if slot.weight is not None and slot.name != stats.serving
        },
    )


def mean(scores: list[Score]) -> float | None:
    """Weighted by how many predictions each is of."""
    total = sum(n for _, n in scores)
    return sum(value * n for value, n in scores) / total if total else None


class History:
    """Half of `size` points for each step and shard."""

    def __init__(self, size: int, *, lower_is_better: bool) -> None:
        self.size = max(2, size // len(STEPS_MS))
        self.best = min if lower_is_better else max
        self.points: dict[tuple[int, int], dict[int, Point]] = {}  # by step and shard, then by slot
        self.rows: dict[tuple[int, int], Row] = {}  # of all shards together, by step and slot

    def add(self, point: Point) -> bool:
        """Keep a point where it is the newest of its slot; whether anything changed."""
        kept = [self.keep(step, point) for step in STEPS_MS]
        return any(kept)

    def keep(self, step: int, point: Point) -> bool:
        kept = self.points.setdefault((step, point.shard), {})
        slot = point.time_ms // step
        newest = next(reversed(kept), slot)
        if slot <= newest - self.size or (slot in kept and kept[slot].time_ms >= point.time_ms):
            return False
        kept[slot] = point
        if slot < newest:
            in_order = sorted(kept.items())
            kept.clear()
            kept.update(in_order)
        while (first := next(iter(kept))) <= max(newest, slot) - self.size:
            del kept[first]
        for stale in range(slot, slot + LOOK_BACK + 1):
            self.rows.pop((step, stale), None)
        return True

    def recall(self, shard: int) -> Iterator[Point]:
        """Every point that is kept of a shard."""
        for step in STEPS_MS:
            yield from self.points.get((step, shard), {}).values()

    def series(self, step: int, shard: int | None, last: int | None = None) -> dict[str, Any]:
        """Columns for charts, oldest first; `last` rows only. `marks` are [time, text]."""
        mine = [
            kept for (its, number), kept in self.points.items() if its == step and shard in (None, number)
        ]
        slots = sorted({slot for kept in mine for slot in kept})[-(last or self.size) :]
        rows = [self.row(step, slot, shard, mine) for slot in slots]
        named: dict[str, None] = {}
        weighed: dict[str, None] = {}
        for row in reversed(rows):
            named.update(dict.fromkeys(row.slots))
            weighed.update(dict.fromkeys(row.weights))
        return {
            "t": [row.time_ms for row in rows],
            "rate": [short(row.rate) for row in rows],
            "lag": [row.lag for row in rows],
            "lag_s": [short(row.lag_s) for row in rows],
            "waiting": [row.waiting for row in rows],
            "serving": [short(row.serving) for row in rows],
            "rival": [short(row.rival) for row in rows],
            "baseline": [short(row.baseline) for row in rows],
            "slots": {name: [short(row.slots.get(name)) for row in rows] for name in list(named)[:LINES]},
            "weights": {
                name: [short(row.weights.get(name)) for row in rows] for name in list(weighed)[:LINES]
            },
            "marks": [[row.time_ms, text] for row in rows for text in row.marks],
        }

    def row(self, step: int, slot: int, shard: int | None, kept: list[dict[int, Point]]) -> Row:
        """One slot of a series."""
        if shard is None and (step, slot) in self.rows:
            return self.rows[step, slot]
        found = [pair for points in kept if (pair := around(points, slot)) is not None]
        row = self.joined(slot * step, found, single=shard is not None)
        if shard is None:
            self.rows[step, slot] = row
            while len(self.rows) > 2 * len(STEPS_MS) * self.size:
                del self.rows[next(iter(self.rows))]
        return row

    def joined(self, time_ms: int, found: list[tuple[Point, Point | None, bool]], *, single: bool) -> Row:
        """Shards as one; a single one with each slot's own score."""
        rates, marks = [], []
        for point, before, fresh in found:
            where = "" if single else f"shard {point.shard}: "
            if before is None:
                continue
            span_s = (point.time_ms - before.time_ms) / 1000
            if span_s > 0 and point.predictions >= before.predictions:
                rates.append((point.predictions - before.predictions) / span_s)
            if not fresh:
                continue
            if swapped(before.serving, point.serving):
                marks.append(f"swap: {where}{point.serving} serves")
            if point.drifts > before.drifts:
                marks.append(f"drift: {where}a detector sees drift")
        points = [point for point, _, _ in found]
        serving = [point.scores[point.serving] for point in points if point.serving in point.scores]
        rivals = [
            self.best(others, key=lambda score: score[0])
            for point in points
            if (others := [score for name, score in point.scores.items() if name != point.serving])
        ]
        return Row(
            time_ms,
            sum(rates) if rates else None,
            max((point.lag for point in points if point.lag is not None), default=None),
            max((point.lag_s for point in points if point.lag_s is not None), default=None),
            sum(point.waiting for point in points),
            mean(serving),
            mean(rivals),
            mean([point.baseline for point in points if point.baseline is not None]),
            {name: value for name, (value, _) in points[0].scores.items()} if single and points else {},
            points[0].weights if single and points else {},
            marks,
        )


def swapped(before: str, now: str) -> bool:
    """Whether another model answers; a blend stays one when models join it."""
    return bool(before and now) and before != now and not (before.startswith(BLEND) and now.startswith(BLEND))


def around(points: dict[int, Point], slot: int) -> tuple[Point, Point | None, bool] | None:
    """A shard's point of a slot and the one before it. One that sent nothing (False) stays as it was."""
    at = next((back for back in range(2) if slot - back in points), None)
    if at is None:
        return None
    now = slot - at
    before = next((points[now - back] for back in range(1, LOOK_BACK + 1) if now - back in points), None)
    return points[now], before, at == 0


def short(value: float | None) -> float | None:
    """Four digits: what a chart can show."""
    return None if value is None else float(f"{value:.4g}")
