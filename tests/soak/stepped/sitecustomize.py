"""On the module path of a learner: its wall clock is off by the seconds in the file CLOCK_OFFSET."""

from __future__ import annotations

import os
import time
from pathlib import Path

LOOK_EVERY_S = 0.1
FILE = Path(os.environ["CLOCK_OFFSET"])
true_time_ns = time.time_ns
offset_ns = 0
looked_s = 0.0


def stepped_ns() -> int:
    """Nanoseconds since the epoch by a clock that somebody sets forth and back."""
    global offset_ns, looked_s  # noqa: PLW0603
    if time.monotonic() - looked_s > LOOK_EVERY_S:
        looked_s = time.monotonic()
        offset_ns = round(1e9 * float(FILE.read_text() or 0)) if FILE.exists() else 0
    return true_time_ns() + offset_ns


time.time_ns = stepped_ns
time.time = lambda: stepped_ns() / 1e9
