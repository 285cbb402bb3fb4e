"""Durations as people write them."""

from __future__ import annotations

import re
from functools import lru_cache

from stream_app.errors import UsageError

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


@lru_cache(maxsize=256)  # definitions ask for the same few again and again
def parse_duration(text: str) -> int:
    """Milliseconds, at least 1.

    >>> parse_duration("10m")
    600000

    Raises:
        UsageError: no number with a unit.
    """
    found = DURATION.fullmatch(str(text).strip())
    ms = round(float(found[1]) * UNITS_MS[found[2]]) if found else 0
    if ms < 1:
        raise UsageError(
            f"{text!r} is not a duration",
            'Write a positive number with a unit: "250ms", "30s", "10m", "1h", "7d"',
        )
    return ms
