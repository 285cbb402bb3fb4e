"""One entity's windows: a flat list per feature, small enough for millions, and JSON as it stands (the Redis
blob).

A sliding window of w ms has `BUCKETS` buckets of ceil(w / BUCKETS) ms: it covers the open bucket and the
BUCKETS − 1 before it, so its edge is exact to one bucket. Aggregates are computed anew from the buckets:
nothing is subtracted and no rounding builds up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from stream_app.features import ALWAYS, Feature

BUCKETS = 60
Cells = list[Any]
Read = Callable[[Cells, int], Any]
Write = Callable[[Cells, int, Any], None]


class Windows:
    """The row and update functions of a definition's features; `entity` is a list with one list of cells per
    feature.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.plan: list[tuple[str, str, Any, Read, Write]] = []
        for feature in features:
            default = feature.default if feature.default is not None else ALWAYS.get(feature.stat)
            self.plan.append((feature.name, feature.field, default, *functions(feature)))
        self.names = frozenset(name for name, *_ in self.plan)

    def new(self) -> list[Cells]:
        """An entity that has seen nothing."""
        return [[] for _ in self.plan]

    def row(self, entity: list[Cells] | None, time_ms: int) -> dict[str, Any]:
        """The features before the event at `time_ms`, in declared order; what is unknown and has no default
        is absent.
        """
        row: dict[str, Any] = {}
        for index, (name, _, default, read, _) in enumerate(self.plan):
            value = read(entity[index], time_ms) if entity is not None and entity[index] else None
            if value is None:
                value = default
            if value is not None:
                row[name] = value
        return row

    def update(self, entity: list[Cells], time_ms: int, features: Mapping[str, Any]) -> None:
        """Take one event in; a numeric statistic passes over what is no number."""
        for index, (_, field, _, _, write) in enumerate(self.plan):
            if not field:
                write(entity[index], time_ms, 1)
            elif (value := features.get(field)) is not None:
                write(entity[index], time_ms, value)


def functions(feature: Feature) -> tuple[Read, Write]:
    """(read, write) of one feature."""
    width_ms = -(-feature.window_ms // BUCKETS)
    if feature.stat == "last":
        return read_last, write_last
    if feature.stat == "since_last":
        return read_since, write_since
    if feature.stat == "distinct":
        return distinct(width_ms, feature.max_values)
    if feature.stat == "mean":
        return mean(width_ms)
    if feature.stat == "count":
        return count(width_ms)
    fold: Callable[[Any, Any], Any] = {"sum": add, "min": smaller, "max": larger}[feature.stat]
    return folded(width_ms, fold)


def add(a: Any, b: Any) -> Any:
    """Sum of both."""
    return a + b


def smaller(a: Any, b: Any) -> Any:
    """The smaller, the older one of equals."""
    return b if b < a else a


def larger(a: Any, b: Any) -> Any:
    """The larger, the older one of equals."""
    return b if b > a else a


def read_last(cells: Cells, _time_ms: int) -> Any:
    """The newest value."""
    return cells[0]


def write_last(cells: Cells, _time_ms: int, value: Any) -> None:
    """Keep the newest value."""
    cells[:] = (value,)


def read_since(cells: Cells, time_ms: int) -> float:
    """Seconds since the newest event."""
    return (time_ms - cells[0]) / 1000  # type: ignore[no-any-return]  # cells hold what write_since put there


def write_since(cells: Cells, time_ms: int, _value: Any) -> None:
    """Keep the newest event's time."""
    cells[:] = (time_ms,)


def count(width_ms: int) -> tuple[Read, Write]:
    """Cells [bucket, n, bucket, n, …], oldest first; integers are exact in any order, so C adds them."""
    share = sharing()

    def read(cells: Cells, time_ms: int) -> int | None:
        oldest = time_ms // width_ms - BUCKETS + 1
        first = 0 if cells[0] >= oldest else living(cells, oldest, 2)
        return sum(cells[first + 1 :: 2]) if first < len(cells) else None

    def write(cells: Cells, time_ms: int, _value: Any) -> None:
        bucket = time_ms // width_ms
        if cells and cells[-2] == bucket:
            cells[-1] += 1
            return
        drop(cells, bucket, 2)
        cells += (share(bucket), 1)

    return read, write


def folded(width_ms: int, fold: Callable[[Any, Any], Any]) -> tuple[Read, Write]:
    """Cells [bucket, value, bucket, value, …], oldest first."""
    share = sharing()

    def read(cells: Cells, time_ms: int) -> Any:
        oldest = time_ms // width_ms - BUCKETS + 1
        values = cells[1 if cells[0] >= oldest else living(cells, oldest, 2) + 1 :: 2]
        return reduce(fold, values) if values else None

    def write(cells: Cells, time_ms: int, value: Any) -> None:
        if type(value) is bool or type(value) is str:
            return
        bucket = time_ms // width_ms
        if cells and cells[-2] == bucket:
            cells[-1] = fold(cells[-1], value)
            return
        drop(cells, bucket, 2)
        cells += (share(bucket), value)

    return read, write


def mean(width_ms: int) -> tuple[Read, Write]:
    """Cells [bucket, sum, n, …]."""
    share = sharing()

    def read(cells: Cells, time_ms: int) -> float | None:
        oldest = time_ms // width_ms - BUCKETS + 1
        first = 0 if cells[0] >= oldest else living(cells, oldest, 3)
        total = 0.0
        for part in cells[first + 1 :: 3]:  # sum() adds floats in another way from Python 3.12 on
            total += part
        return total / sum(cells[first + 2 :: 3]) if first < len(cells) else None

    def write(cells: Cells, time_ms: int, value: Any) -> None:
        if type(value) is bool or type(value) is str:
            return
        bucket = time_ms // width_ms
        if cells and cells[-3] == bucket:
            cells[-2] += value
            cells[-1] += 1
            return
        drop(cells, bucket, 3)
        cells += (share(bucket), value, 1)

    return read, write


def distinct(width_ms: int, max_values: int) -> tuple[Read, Write]:
    """Cells [value, last bucket, …] in order of last sight."""
    share = sharing()

    def read(cells: Cells, time_ms: int) -> int:
        oldest = time_ms // width_ms - BUCKETS + 1
        return sum(cells[i] >= oldest for i in range(1, len(cells), 2))

    def write(cells: Cells, time_ms: int, value: Any) -> None:
        bucket = time_ms // width_ms
        for i in range(0, len(cells), 2):
            if cells[i] == value and type(cells[i]) is type(value):
                del cells[i : i + 2]
                break
        while cells and (cells[1] <= bucket - BUCKETS or len(cells) >= 2 * max_values):
            del cells[:2]
        cells += (value, share(bucket))

    return read, write


def sharing() -> Callable[[int], int]:
    """One object for all entities' newest bucket: an integer of its own in each would take 32 bytes."""
    newest = [0]

    def share(bucket: int) -> int:
        if newest[0] != bucket:
            newest[0] = bucket
        return newest[0]

    return share


def living(cells: Cells, oldest: int, width: int) -> int:
    """Where the cells of bucket `oldest` and later begin; a write has dropped most of those before."""
    first = 0
    while first < len(cells) and cells[first] < oldest:
        first += width
    return first


def drop(cells: Cells, bucket: int, width: int) -> None:
    """Remove the buckets that the window has left behind."""
    gone = living(cells, bucket - BUCKETS + 1, width)
    if gone:
        del cells[:gone]
