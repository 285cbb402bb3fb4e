"""The one door to the wall clock."""

import time


class SystemClock:
    """Epoch milliseconds for records, monotonic seconds for waiting."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
