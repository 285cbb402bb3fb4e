"""When the records of a file happen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.cli.produce.schedule import Stamped, epoch_ms, schedule
from stream_app.errors import UsageError

NOW_MS = 1_700_000_000_000


def test_events_and_labels_are_stamped_by_the_contract() -> None:
    """Event i at t0 + 2i, its label at t0 + 2(i + N) − 1, t0 = now − 2n; also after the last event."""
    start_ms = NOW_MS - 2 * 5
    records = schedule(5, NOW_MS, labels=True, delay_rows=3)
    events = {record.row: record.time_ms for record in records if not record.is_label}
    labels = {record.row: record.time_ms for record in records if record.is_label}
    assert events == {i: start_ms + 2 * i for i in range(5)}
    assert labels == {i: start_ms + 2 * (i + 3) - 1 for i in range(5)}


@given(n=st.integers(0, 40), delay=st.integers(1, 50))
def test_each_label_is_known_exactly_before_its_event_of_reveal(n: int, delay: int) -> None:
    """Before event i exactly the labels of events 0 … i − N are learned, as in River's protocol."""
    learned: set[int] = set()
    for record in schedule(n, NOW_MS, labels=True, delay_rows=delay):
        if record.is_label:
            learned.add(record.row)
        else:
            assert learned == set(range(max(0, record.row - delay + 1)))


@given(
    times=st.lists(st.integers(0, 30), max_size=30),
    delay_rows=st.integers(0, 9),
    delay_ms=st.none() | st.integers(1, 9),
)
def test_records_come_in_order_of_time_and_no_label_leaks(
    times: list[int], delay_rows: int, delay_ms: int | None
) -> None:
    """With given times, too: sorted, events first at one instant, no label before its own event."""
    records = schedule(len(times), NOW_MS, times=times, labels=True, delay_rows=delay_rows, delay_ms=delay_ms)
    assert records == sorted(records, key=lambda record: (record.time_ms, record.is_label))
    assert len(records) == 2 * len(times)
    seen: set[int] = set()
    for record in records:
        if record.is_label:
            assert record.row in seen
            assert delay_ms is None or record.time_ms == times[record.row] + delay_ms
        else:
            assert record.time_ms == times[record.row]
            seen.add(record.row)


def test_with_a_duration_no_stamp_lies_ahead() -> None:
    """An hour's delay moves the events back by an hour, or the broker would refuse the labels."""
    records = schedule(3, NOW_MS, labels=True, delay_ms=3_600_000)
    assert records[0] == Stamped(NOW_MS - 6 - 3_600_000, False, 0)
    assert records[-1].time_ms < NOW_MS


def test_without_labels_there_are_events_only() -> None:
    """An inline label is part of its event."""
    assert [record.is_label for record in schedule(3, NOW_MS)] == [False] * 3


@pytest.mark.parametrize(
    "value", [1_700_000_000_000, 1_700_000_000_000.0, "2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00"]
)
def test_a_time_column_is_epoch_ms_or_iso_8601(value: object) -> None:
    """Both forms name the same instant."""
    assert epoch_ms(value, "at") == NOW_MS


@pytest.mark.parametrize(
    "value", [None, True, "2023-11-14T22:13:20", "yesterday", 1_700_000_000, float("nan")]
)
def test_a_time_that_could_mean_two_things_is_refused(value: object) -> None:
    """A time without offset is not guessed at, seconds are not taken for ms, a missing one not made up."""
    with pytest.raises(UsageError, match="column at"):
        epoch_ms(value, "at")


@pytest.mark.parametrize(
    ("value", "time_in"),
    [
        (NOW_MS // 1_000, "s"),
        (float(NOW_MS) / 1_000, "s"),
        (NOW_MS * 1_000, "us"),
        (datetime.fromtimestamp(NOW_MS / 1_000, UTC).strftime("%d/%m/%Y %H:%M:%S"), "%d/%m/%Y %H:%M:%S"),
        (datetime.fromtimestamp(NOW_MS / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S"), "UTC"),
    ],
)
def test_a_time_may_be_written_in_another_unit_or_format(value: object, time_in: str) -> None:
    """Seconds, microseconds, day first, or without an offset, where somebody says so."""
    assert abs(epoch_ms(value, "at", time_in) - NOW_MS) < 1_000


@pytest.mark.parametrize(
    ("value", "time_in"), [("13/25/2026", "%d/%m/%Y"), (NOW_MS // 1_000, "ms"), (None, "s")]
)
def test_what_is_no_time_in_its_unit_is_refused(value: object, time_in: str) -> None:
    """A day of month 25, seconds where milliseconds are said, nothing: with the option that mends it."""
    with pytest.raises(UsageError, match="not a time") as refused:
        epoch_ms(value, "at", time_in)
    assert "--time-in" in refused.value.remedy
