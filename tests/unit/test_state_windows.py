"""Entity windows against a reference that keeps every event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app import features as f
from stream_app.features import Feature
from stream_app.state.windows import BUCKETS, Windows

Event = tuple[int, dict[str, Any]]
FEATURES = [
    f.count("1m"),
    f.sum("x", "1m"),
    f.mean("x", "1m"),
    f.min("x", "1m"),
    f.max("x", "1m"),
    f.distinct("x", "1m"),
    f.last("x"),
    f.since_last(),
    f.count("7ms"),
    f.sum("x", "90s"),
]
VALUES = st.one_of(st.integers(-50, 50), st.integers(-8, 8).map(lambda n: n / 4), st.just("a"), st.booleans())


def number(value: Any) -> bool:
    """What a numeric statistic takes."""
    return not isinstance(value, (bool, str))


def counted(events: list[Any]) -> int | None:
    """The count, None when there is nothing."""
    return len(events) or None


FOLDS: dict[str, Callable[[list[Any]], Any]] = {
    "count": counted,
    "sum": lambda xs: sum(xs) if xs else None,
    "mean": lambda xs: sum(xs) / len(xs) if xs else None,
    "min": lambda xs: min(xs, default=None),
    "max": lambda xs: max(xs, default=None),
    "distinct": lambda xs: len({(type(x), x) for x in xs}) or None,
}


def reference(feature: Feature, events: list[Event], now: int) -> Any:
    """The statistic over all events of the window, which begins with the bucket BUCKETS - 1 before now's."""
    values = [
        (at, event[feature.field] if feature.field else 1)
        for at, event in events
        if not feature.field or event.get(feature.field) is not None
    ]
    if feature.stat == "last":
        return values[-1][1] if values else None
    if feature.stat == "since_last":
        return (now - events[-1][0]) / 1000 if events else None
    if feature.stat in ("sum", "mean", "min", "max"):
        values = [(at, value) for at, value in values if number(value)]
    width = -(-feature.window_ms // BUCKETS)
    oldest = now // width - BUCKETS + 1
    return FOLDS[feature.stat]([value for at, value in values if at // width >= oldest])


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 100, 999, 1_000, 5_000, 59_000, 61_000]), st.none() | VALUES)
    )
)
def test_every_statistic_equals_one_that_keeps_all_events(moves: list[tuple[int, Any]]) -> None:
    """Sums of quarters are exact, so each statistic equals the reference's at every moment."""
    windows = Windows(FEATURES)
    entity, events, now = windows.new(), list[Event](), 1_700_000_000_000
    for gap, value in moves:
        now += gap
        row = windows.row(entity, now)
        for feature in FEATURES:
            expected = reference(feature, events, now)
            if expected is None and feature.stat in ("count", "sum", "distinct"):
                expected = 0
            assert row.get(feature.name) == expected, feature.name
        event = {"x": value, "other": 1}
        windows.update(entity, now, event)
        events.append((now, event))
        assert orjson.loads(orjson.dumps(entity)) == entity
        assert all(
            len(cells) <= 3 * (BUCKETS + 1)
            for cells, part in zip(entity, FEATURES, strict=True)
            if part.window_ms
        )


def test_an_unknown_entity_has_counts_of_zero_and_declared_defaults_alone() -> None:
    """What nobody knows is absent from the row, in declared order; counts and sums are known to be zero."""
    features = [
        f.mean("x", "1h"),
        f.count("1h"),
        f.last("x", default=7),
        f.min("x", "1h", default=-1.0),
        f.since_last(),
    ]
    row = Windows(features).row(None, 5)
    assert list(row.items()) == [("count_1h", 0), ("last_x", 7), ("min_x_1h", -1.0)]


def test_distinct_saturates_and_keeps_the_newest() -> None:
    """Beyond `max_values` the oldest value goes; memory is bounded and the count says so."""
    windows = Windows([f.distinct("x", "1h", max_values=3)])
    entity = windows.new()
    for i in range(10):
        windows.update(entity, 1_000 + i, {"x": i})
    assert windows.row(entity, 2_000) == {"distinct_x_1h": 3}
    assert len(entity[0]) == 6


@pytest.mark.parametrize("window", ["1ms", "59ms", "61ms", "1h", "30d"])
def test_an_event_leaves_its_window_within_one_bucket(window: str) -> None:
    """An event counts through all buckets but the last, and no longer than through all of them."""
    feature = f.count(window)
    width = -(-feature.window_ms // BUCKETS)
    windows = Windows([feature])
    for start in (0, 1, 12_345_678):
        entity = windows.new()
        windows.update(entity, start, {})
        assert windows.row(entity, start + (BUCKETS - 1) * width)[feature.name] == 1
        assert windows.row(entity, start + BUCKETS * width)[feature.name] == 0
