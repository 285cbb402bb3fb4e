"""What the client refuses before a record leaves, and that every refusal names its fix."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest

from stream_app.client.checks import check_id, encoded, encoded_key, epoch_ms
from stream_app.errors import UsageError


def refusal(call: Any, *args: Any) -> UsageError:
    """The refusal of a call."""
    with pytest.raises(UsageError) as caught:
        call(*args)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("key", [None, "", b"bytes", 7, "k" * 257, "é" * 129, "a\x00b", "\ud800"])
def test_a_key_that_the_learner_would_refuse_is_refused(key: Any) -> None:
    """No text, empty, over 256 bytes, with NUL, or without a UTF-8 form."""
    assert "key" in refusal(encoded_key, key).message


@pytest.mark.parametrize("key", ["k", "k" * 256, "é" * 128, "ключ"])
def test_a_key_within_its_bound_is_its_utf8_form(key: str) -> None:
    """The bound is in bytes, and inclusive."""
    assert encoded_key(key) == key.encode()


@pytest.mark.parametrize("event_id", [None, "", 7, "i" * 257, "é" * 129, "\ud800" * 100])
def test_an_id_that_the_learner_would_refuse_is_refused(event_id: Any) -> None:
    """No text, empty, over 256 bytes, or without a UTF-8 form."""
    assert "event id" in refusal(check_id, event_id).message


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"features": {"speed": float("nan")}}, "speed"),
        ({"features": {"speed": float("-inf")}}, "speed"),
        ({"features": {"speed": np.float64("nan")}}, "speed"),
        ({"label": float("nan")}, "label"),
        ({"label": 1, "weight": float("inf")}, "weight"),
        ({"features": {"speed": {1, 2}}}, "not JSON"),
        ({"features": {"speed": 1 << 64}}, "not JSON"),
        ({"features": {"name": "\ud800"}}, "not JSON"),
    ],
)
def test_what_json_cannot_carry_is_refused_by_name(value: dict[str, Any], named: str) -> None:
    """NaN would otherwise travel as null."""
    assert named in refusal(encoded, value).message


def test_a_value_is_refused_above_64_kib_only() -> None:
    """The bound is inclusive, and the learner's own."""
    frame = len(orjson.dumps({"features": {"text": ""}}))
    assert len(encoded({"features": {"text": "x" * (65_536 - frame)}})) == 65_536
    assert "65537 bytes" in refusal(encoded, {"features": {"text": "x" * (65_537 - frame)}}).message


def test_numpy_numbers_travel_as_numbers() -> None:
    """Rows often come from numpy."""
    body = encoded({"features": {"a": np.float64(0.5), "b": np.int64(2), "c": np.float32(0.25)}})
    assert orjson.loads(body) == {"features": {"a": 0.5, "b": 2, "c": 0.25}}


def now_ms() -> int:
    """The clock as it stands, asked by each test itself: a suite runs for longer than the bounds below."""
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    "ahead",
    [
        lambda: now_ms() * 1_000,
        lambda: now_ms() * 1_000_000,
        lambda: 253_402_300_799_000,
        lambda: now_ms() + 900_000,
        lambda: datetime(9999, 1, 1, tzinfo=UTC),
    ],
    ids=["microseconds", "nanoseconds", "year 9999", "15 minutes", "aware year 9999"],
)
def test_a_time_far_ahead_is_refused(ahead: Callable[[], Any]) -> None:
    """One such stamp would drag the shard's log time with it."""
    assert "ahead" in refusal(epoch_ms, ahead()).message


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), 1.5, "2026-01-01"], ids=["naive", "float", "text"])  # noqa: DTZ001  the naive one is the point
def test_a_time_that_could_mean_two_things_is_refused(moment: Any) -> None:
    """Seconds as float, local time and text are not guessed at."""
    assert "time" in refusal(epoch_ms, moment).message


def test_times_become_epoch_milliseconds() -> None:
    """An aware datetime is converted; a little ahead is fine."""
    assert epoch_ms(None) is None
    soon_ms = now_ms() + 300_000
    assert epoch_ms(soon_ms) == soon_ms
    assert epoch_ms(datetime(1973, 3, 4, 0, 0, 0, 5_000, tzinfo=UTC)) == 100_051_200_005


@pytest.mark.parametrize("time", [1_795_920_616, 0, -5, datetime(1970, 1, 2, tzinfo=UTC)])
def test_a_time_in_seconds_or_none_at_all_is_refused(time: Any) -> None:
    """Every window, horizon and bound would be a thousand times too long."""
    assert "the record's time is" in refusal(epoch_ms, time).message
