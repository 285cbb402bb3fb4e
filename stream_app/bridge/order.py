"""The order in which records of several partitions are bridged: by time, as far as that can be known.

An input is waited for until it has reported its end, as the learner's merge does: without the wait, catching
up reads thousands of labels before the first event, and one partition runs far ahead of another.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heapreplace
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TimeOrder(Generic[Item]):
    """Buffers by source, merged by (time, source); within a source records keep their order."""

    def __init__(self) -> None:
        self.buffers: list[deque[tuple[int, Item]]] = []
        self.quiet: list[bool] = []
        self.newest_ms: list[int] = []

    def add_source(self) -> int:
        """Give the number of one more source."""
        self.buffers.append(deque())
        self.quiet.append(False)
        self.newest_ms.append(0)
        return len(self.buffers) - 1

    def offer(self, source: int, time_ms: int, item: Item) -> None:
        """Take one record in; an earlier time than that of the record before it counts as that one's."""
        self.newest_ms[source] = max(time_ms, self.newest_ms[source])
        self.buffers[source].append((self.newest_ms[source], item))
        self.quiet[source] = False

    def end(self, source: int) -> None:
        """The source has nothing more now."""
        self.quiet[source] = True

    def waits_for(self) -> list[int]:
        """The sources that hold the others up."""
        return [n for n, buffer in enumerate(self.buffers) if not buffer and not self.quiet[n]]

    def buffered(self, source: int) -> int:
        """How many records of a source are at hand."""
        return len(self.buffers[source])

    def next(self, limit: int) -> list[tuple[int, Item]]:
        """Up to `limit` records with their sources, in order; none while a source must be waited for."""
        found: list[tuple[int, Item]] = []
        if self.waits_for():
            return found
        heads = [(buffer[0][0], n) for n, buffer in enumerate(self.buffers) if buffer]
        heapify(heads)
        while heads and len(found) < limit:
            source = heads[0][1]
            buffer = self.buffers[source]
            found.append((source, buffer.popleft()[1]))
            if buffer:
                heapreplace(heads, (buffer[0][0], source))
            elif self.quiet[source]:
                heappop(heads)
            else:
                break
        return found
