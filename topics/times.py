"""A record's time, in epoch milliseconds: what is none, or counts in another unit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

# March 1973. What is stamped before it counts in seconds, or has no time: every window, horizon and bound
# would be a thousand times too long. Micro- and nanoseconds lie in the far future, which the broker refuses.
EARLIEST_MS: Final = 100_000_000_000


def doubt(time_ms: int) -> str:
    """What is wrong with a time before 1973.

    >>> doubt(1_795_920_616)
    "the record's time is 1970-01-21: it seems to count seconds, not milliseconds"
    """
    if time_ms <= 0:
        return f"the record's time is {time_ms}, not epoch milliseconds"
    day = datetime.fromtimestamp(time_ms / 1000, UTC).date()
    return f"the record's time is {day}: it seems to count seconds, not milliseconds"
