"""Identities seen within the deduplication window, in a handful of dictionaries that are dropped whole.

Popping the oldest key of one large dictionary scans its dead slots and turns quadratic; rotating buckets
never do.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec
from mypy_extensions import mypyc_attr

BUCKETS: Final = 4
NO_LABEL: Final = None  # null is no label, and None alone is the same object again after a snapshot


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(dict[str, tuple[int, Any]]).decode
Stored = tuple[int, bytes, list[bytes], int]


@mypyc_attr(allow_interpreted_subclasses=True)
class Ids:
    """event_id → (content hash, label), known for `window_ms` of log time; a quarter longer while ids come.

    `limit` bounds the number of ids; beyond it the oldest bucket goes early (`evicted` counts how many ids
    went). `stored` is what `__reduce__` keeps: pickled one by one, a hundred thousand ids take 50 ms.
    """

    def __init__(self, window_ms: int, limit: int, stored: Stored | None = None) -> None:
        self.width_ms = max(1, -(-window_ms // BUCKETS))
        self.limit = max(BUCKETS, limit)
        self.current: dict[str, tuple[int, Any]] = {}
        self.current_until_ms = 0
        self.older: deque[dict[str, tuple[int, Any]]] = deque()
        self.evicted = 0
        if stored is not None:
            self.current_until_ms, current, older, self.evicted = stored
            self.current = unpack(current)
            self.older.extend(unpack(bucket) for bucket in older)

    def __reduce__(self) -> tuple[Any, tuple[int, int, Stored]]:
        """Pickle each bucket as one piece, for snapshots."""
        stored = (
            self.current_until_ms,
            pack(self.current),
            [pack(bucket) for bucket in self.older],
            self.evicted,
        )
        return Ids, (self.width_ms * BUCKETS, self.limit, stored)

    def rotate(self, now_ms: int) -> None:
        """Move to the bucket of `now_ms`; log time never goes back, so a bucket is closed once."""
        gap = (now_ms - self.current_until_ms) // self.width_ms + 1
        if gap > BUCKETS + 1:
            self.older.clear()
        self.older.appendleft(self.current)
        for _ in range(min(gap - 1, BUCKETS)):
            self.older.appendleft({})
        while len(self.older) > BUCKETS:
            self.older.pop()
        self.current = {}
        self.current_until_ms = (now_ms // self.width_ms + 1) * self.width_ms

    def make_room(self) -> bool:
        """Close the bucket when it holds its share of `limit`, so that memory stays bounded in a burst.

        True if ids went early for the first time.
        """
        before = self.evicted
        self.older.appendleft(self.current)
        self.current = {}
        while len(self.older) > BUCKETS:
            self.evicted += len(self.older.pop())
        return not before and self.evicted > 0

    def get(self, event_id: str) -> tuple[int, Any] | None:
        """The stored (hash, label) pair, or None for an id that is new within the window."""
        found = self.current.get(event_id)
        if found is None:
            for bucket in self.older:
                if bucket:
                    found = bucket.get(event_id)
                    if found is not None:
                        return found
        return found

    def add(self, event_id: str, content: int, label: Any, now_ms: int) -> bool:
        """Remember a new id, as the caller has checked; True if ids went early for it for the first time."""
        first = False
        if now_ms >= self.current_until_ms:
            self.rotate(now_ms)
        elif (len(self.current) + 1) * (BUCKETS + 1) > self.limit:
            first = self.make_room()
        self.current[event_id] = (content, label)
        return first

    def set_label(self, event_id: str, label: Any) -> None:
        """Store the label that was applied, so that a second one is known as the same or contradictory."""
        for bucket in (self.current, *self.older):
            found = bucket.get(event_id)
            if found is not None:
                bucket[event_id] = (found[0], label)
                return

    def __len__(self) -> int:
        return len(self.current) + sum(len(bucket) for bucket in self.older)
