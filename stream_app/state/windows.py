"""One entity's windows: a flat list per feature, small enough for millions, and JSON as it is (the Redis
blob).

A sliding window of w ms has `BUCKETS` buckets of ceil(w / BUCKETS) ms: it covers the open bucket and the
BUCKETS − 1 before it, so its edge is exact to one bucket. Aggregates are always computed from the buckets:
nothing is subtracted and no rounding builds up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Final

from stream_app.features import ALWAYS, Feature

BUCKETS: Final = 60
Cells = list[Any]


class Windows:
    """The row and update functions of a definition's features; `entity` is a list with one list of cells per
    feature.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.plan = [Column(feature) for feature in features]
        self.names = frozenset(column.name for column in self.plan)

    def new(self) -> list[Cells]:
        """An entity that has seen nothing."""
        return [[] for _ in self.plan]

    def row(self, entity: list[Cells] | None, time_ms: int) -> dict[str, Any]:
        """The features before the event at `time_ms`, in declared order; what is unknown and has no default
        is absent.
        """
        row: dict[str, Any] = {}
        for index, column in enumerate(self.plan):
            value: Any = None
            if entity is not None:
                cells = entity[index]
                if cells:
                    value = column.statistic.read(cells, time_ms)
            if value is None:
                value = column.default
            if value is not None:
                row[column.name] = value
        return row

    def update(self, entity: list[Cells], time_ms: int, features: dict[str, Any]) -> None:
        """Take one event in; a numeric statistic passes over what is no number."""
        for index, column in enumerate(self.plan):
            if not column.field:
                column.statistic.write(entity[index], time_ms, 1)
            elif (value := features.get(column.field)) is not None:
                column.statistic.write(entity[index], time_ms, value)


class Column:
    """One feature of a row: where its value comes from and how it is kept."""

    def __init__(self, feature: Feature) -> None:
        self.name = feature.name
        self.field = feature.field
        self.default: Any = feature.default if feature.default is not None else ALWAYS.get(feature.stat)
        self.statistic = statistic(feature)


class Statistic:
    """How one feature's cells are read and written.

    Integers are unpacked where they have a type, compiled, and compared as objects where they have none.
    """

    def __init__(self, width_ms: int) -> None:
        self.width_ms = width_ms
        self.newest: Any = 0

    def read(self, cells: Cells, time_ms: int) -> Any:
        """The value at `time_ms` of cells that are not empty; None where none of them lives."""
        raise NotImplementedError

    def write(self, cells: Cells, time_ms: int, value: Any) -> None:
        """Take in one value."""
        raise NotImplementedError

    def share(self, bucket: int) -> Any:
        """One object for all entities' newest bucket: an integer of its own in each would take 32 bytes."""
        if self.newest != bucket:
            self.newest = bucket
        return self.newest

    def first(self, cells: Cells, bucket: int, width: int) -> int:
        """Where the buckets begin that still count in `bucket`; a write has dropped most of those before."""
        oldest, first = bucket - BUCKETS + 1, 0
        while first < len(cells):
            found: int = cells[first]
            if found >= oldest:
                break
            first += width
        return first

    def drop(self, cells: Cells, bucket: int, width: int) -> None:
        """Remove the buckets that the window has left behind."""
        gone = self.first(cells, bucket, width)
        if gone:
            del cells[:gone]


class Last(Statistic):
    """Cells [value]."""

    def read(self, cells: Cells, _time_ms: int) -> Any:
        return cells[0]

    def write(self, cells: Cells, _time_ms: int, value: Any) -> None:
        if cells:
            cells[0] = value
        else:
            cells += (value,)  # of the exact size: append() leaves room for four, in each entity


class SinceLast(Statistic):
    """Cells [ms of the newest event]; read as seconds."""

    def read(self, cells: Cells, time_ms: int) -> Any:
        return (time_ms - cells[0]) / 1000

    def write(self, cells: Cells, time_ms: int, _value: Any) -> None:
        cells[:] = (time_ms,)


class Count(Statistic):
    """Cells [bucket, n, bucket, n, …], oldest first."""

    def read(self, cells: Cells, time_ms: int) -> Any:
        n = 0
        for i in range(self.first(cells, time_ms // self.width_ms, 2) + 1, len(cells), 2):
            count: int = cells[i]
            n += count
        return n or None

    def write(self, cells: Cells, time_ms: int, _value: Any) -> None:
        bucket = time_ms // self.width_ms
        if cells:
            newest: int = cells[-2]
            if newest == bucket:
                cells[-1] += 1
                return
            self.drop(cells, bucket, 2)
        cells += (self.share(bucket), 1)


class Folded(Statistic):
    """Cells [bucket, value, bucket, value, …], oldest first."""

    def __init__(self, width_ms: int, fold: Callable[[Any, Any], Any]) -> None:
        super().__init__(width_ms)
        self.fold = fold

    def read(self, cells: Cells, time_ms: int) -> Any:
        values = cells[self.first(cells, time_ms // self.width_ms, 2) + 1 :: 2]
        return reduce(self.fold, values) if values else None

    def write(self, cells: Cells, time_ms: int, value: Any) -> None:
        if type(value) is bool or type(value) is str:
            return
        bucket = time_ms // self.width_ms
        if cells and cells[-2] == bucket:
            cells[-1] = self.fold(cells[-1], value)
            return
        self.drop(cells, bucket, 2)
        cells += (self.share(bucket), value)


class Mean(Statistic):
    """Cells [bucket, sum, n, …], oldest first."""

    def read(self, cells: Cells, time_ms: int) -> Any:
        first = self.first(cells, time_ms // self.width_ms, 3)
        total, n = 0.0, 0  # sum() adds floats in another way from Python 3.12 on
        for i in range(first, len(cells), 3):
            part: float = cells[i + 1]
            count: int = cells[i + 2]
            total += part
            n += count
        return total / n if n else None

    def write(self, cells: Cells, time_ms: int, value: Any) -> None:
        if type(value) is bool or type(value) is str:
            return
        bucket = time_ms // self.width_ms
        if cells:
            newest: int = cells[-3]
            if newest == bucket:
                cells[-2] += value
                cells[-1] += 1
                return
            self.drop(cells, bucket, 3)
        cells += (self.share(bucket), value, 1)


class Distinct(Statistic):
    """Cells [value, last bucket, …] in order of last sight, `most` values at most."""

    def __init__(self, width_ms: int, most: int) -> None:
        super().__init__(width_ms)
        self.most = most

    def read(self, cells: Cells, time_ms: int) -> Any:
        oldest = time_ms // self.width_ms - BUCKETS + 1
        return sum(cells[i] >= oldest for i in range(1, len(cells), 2))

    def write(self, cells: Cells, time_ms: int, value: Any) -> None:
        bucket = time_ms // self.width_ms
        for i in range(0, len(cells), 2):
            if cells[i] == value and type(cells[i]) is type(value):
                del cells[i : i + 2]
                break
        while cells and (cells[1] <= bucket - BUCKETS or len(cells) >= 2 * self.most):
            del cells[:2]
        cells += (value, self.share(bucket))


def add(a: Any, b: Any) -> Any:
    """Give the sum of two values."""
    return a + b


def smaller(a: Any, b: Any) -> Any:
    """Give the smaller value, the older one of equals."""
    return b if b < a else a


def larger(a: Any, b: Any) -> Any:
    """Give the larger value, the older one of equals."""
    return b if b > a else a


FOLDS: dict[str, Callable[[Any, Any], Any]] = {"sum": add, "min": smaller, "max": larger}


def statistic(feature: Feature) -> Statistic:
    """How one feature is kept."""
    width_ms = -(-feature.window_ms // BUCKETS)
    if feature.stat == "distinct":
        return Distinct(width_ms, feature.max_values)
    if feature.stat in FOLDS:
        return Folded(width_ms, FOLDS[feature.stat])
    kinds: dict[str, type[Statistic]] = {"last": Last, "since_last": SinceLast, "mean": Mean, "count": Count}
    return kinds[feature.stat](width_ms)
