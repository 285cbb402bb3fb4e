"""When each record of a file happens: events and labels stamped, and put in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from stream_app.errors import UsageError
from stream_app.inputs import moments
from topics import reasons
from topics.codec import Rejected

STEP_MS = 2  # events are 2 ms apart, so that a label fits strictly between two of them


class Stamped(msgspec.Struct, gc=False):
    """One record to produce: the event of a row, or its label."""

    time_ms: int
    is_label: bool
    row: int


def schedule(
    n: int,
    now_ms: int,
    *,
    times: Sequence[int] | None = None,
    labels: bool = False,
    delay_rows: int = 0,
    delay_ms: int | None = None,
    label_times: Sequence[int] | None = None,
) -> list[Stamped]:
    """Every event and label in order of time; at one instant events come first.

    Without `times`, event i is stamped t0 + 2i ms with t0 = now − 2n ms. A label `delay_rows` = N late is
    stamped 1 ms before event i + N, at t0 + 2(i + N) − 1 ms, which is what River's
    `progressive_val_score(delay=N)` means. One `delay_ms` late is stamped that much after its event, and t0
    lies as much earlier, so that no stamp is ahead.

    With `label_times`, each label is stamped as they say. With `times`, a label never precedes its own event:
    where events share a stamp, it comes late.
    """
    start_ms = now_ms - STEP_MS * n - (delay_ms or 0)
    stamps = times if times is not None else range(start_ms, start_ms + STEP_MS * n, STEP_MS)
    order = sorted(range(n), key=stamps.__getitem__)
    records = [Stamped(stamps[row], False, row) for row in order]
    if labels and label_times is not None:
        records += [Stamped(label_times[row], True, row) for row in order]
    elif labels:
        records += [
            Stamped(label_ms(place, row, order, stamps, times is not None, delay_rows, delay_ms), True, row)
            for place, row in enumerate(order)
        ]
    if labels:
        records.sort(key=lambda record: (record.time_ms, record.is_label))
    return records


def label_ms(
    place: int,
    row: int,
    order: Sequence[int],
    stamps: Sequence[int],
    given: bool,
    delay_rows: int,
    delay_ms: int | None,
) -> int:
    """The stamp of the label of `row`, which is the event at `place` in the order of time."""
    if delay_ms is not None:
        return stamps[row] + delay_ms
    reveal = place + delay_rows
    last = len(order) - 1
    after_end_ms = STEP_MS * max(0, reveal - last)
    due_ms = stamps[order[min(reveal, last)]] + after_end_ms - 1
    return max(due_ms, stamps[row]) if given else due_ms


def epoch_ms(value: Any, column: str, time_in: str = "ms") -> int:
    """A time column's value in epoch ms: a number in this unit, ISO 8601, or as a strptime format says.

    Raises:
        UsageError: it is no such time.
    """
    found = of_format(value, column, time_in) if "%" in time_in else moments.epoch_ms(value, time_in, column)
    if not isinstance(found, Rejected):
        return found
    raise UsageError(
        f"{value!r} in column {column} is not a time: {found.message.partition(';')[0]}",
        "Use epoch milliseconds, or ISO 8601 with an offset (2026-01-31T12:00:00+00:00). --time-in says "
        "otherwise: s, us, ns, UTC (without an offset), or a format: '%d/%m/%Y %H:%M', which is UTC",
    )


def of_format(value: Any, column: str, form: str) -> int | Rejected:
    """A text as a format of strptime says; UTC where the format has no zone."""
    try:
        moment = datetime.strptime(str(value), form)  # noqa: DTZ007  its zone is asked for below
    except ValueError as error:
        return Rejected(reasons.BAD_TIME, str(error))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moments.in_range(round(moment.timestamp() * 1000), "UTC", column)
