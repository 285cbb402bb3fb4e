"""Event times as other people write them, in epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from topics import reasons
from topics.codec import Rejected
from topics.times import EARLIEST_MS, doubt

# Units in one millisecond; "UTC": ISO 8601 whose offset may be left out.
UNITS: Final = {"ms": 1.0, "s": 0.001, "us": 1_000.0, "ns": 1_000_000.0, "UTC": 1.0}
LATEST_MS: Final = 4_102_444_800_000  # the year 2100
LATEST_IN_ANY: Final = 1e19  # beyond the year 2100, in nanoseconds
NEXT: Final = {"s": "ms", "ms": "us", "us": "ns"}


def epoch_ms(value: Any, unit: str, path: str) -> int | Rejected:
    """A number in this unit, or a text by ISO 8601, as epoch milliseconds.

    >>> epoch_ms(1_795_920_616, "s", "at"), epoch_ms("2026-11-29T02:50:16Z", "ms", "at")
    (1795920616000, 1795920616000)
    """
    if type(value) is str:
        return from_text(value, unit, path)
    if type(value) is not int and type(value) is not float:
        what = "null" if value is None else type(value).__name__
        return Rejected(reasons.BAD_TIME, f"the time {path!r} is {what}; it must be a number or ISO 8601")
    if not -LATEST_IN_ANY < value < LATEST_IN_ANY:
        return Rejected(reasons.BAD_TIME, f"the time {path!r} is {str(value)[:40]}, which cannot be a time")
    if type(value) is int and unit in ("us", "ns"):
        ms = value // int(UNITS[unit])
    else:
        ms = round(value / UNITS[unit])
    return in_range(ms, unit, path)


def from_text(text: str, unit: str, path: str) -> int | Rejected:
    """A text by ISO 8601; digits alone are a number in this unit."""
    if text.isascii() and text.isdecimal():
        return epoch_ms(int(text[:20]), unit, path)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return Rejected(reasons.BAD_TIME, f"the time {path!r} is {text[:40]!r}, which is not ISO 8601")
    if moment.tzinfo is None:
        if unit != "UTC":
            said = f"the time {path!r} is {text!r}, without an offset; if it is UTC, write time_in='UTC'"
            return Rejected(reasons.BAD_TIME, said)
        moment = moment.replace(tzinfo=UTC)
    return in_range(round(moment.timestamp() * 1000), unit, path)


def in_range(ms: int, unit: str, path: str) -> int | Rejected:
    """A time between 1973 and 2100, or which unit it seems to be in."""
    if EARLIEST_MS <= ms <= LATEST_MS:
        return ms
    if ms > LATEST_MS and unit in NEXT:
        said = f"the time {path!r} lies after 2100; if it counts {NEXT[unit]}, write time_in={NEXT[unit]!r}"
        return Rejected(reasons.BAD_TIME, said)
    text = doubt(ms) if unit == "ms" else f"the time {path!r} lies before 1973 or after 2100"
    fix = "; if it counts seconds, write time_in='s'" if unit == "ms" and 0 < ms < EARLIEST_MS else ""
    return Rejected(reasons.BAD_TIME, text + fix)
