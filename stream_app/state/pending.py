"""Rows that wait for their label, and labels that came before their event."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Generic, TypeVar

import msgspec
from mypy_extensions import mypyc_attr

from topics.envelope import Record

SLACK: Final = 1_024  # queue entries of rows already joined that are tolerated before the queue is rebuilt


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class PendingRow:
    """A predicted event: its feature row and what each slot served, until label or horizon.

    `served` maps model version → (prediction, probabilities); `baseline` is the last label known then.
    """

    def __init__(
        self, key: str, time_ms: int, offset: int, row: dict[str, Any], served: dict[int, tuple[Any, Any]],
        baseline: Any,
    ) -> None:  # fmt: skip
        self.key = key
        self.time_ms = time_ms
        self.offset = offset
        self.row = row
        self.served = served
        self.baseline = baseline


class ParkedLabel(msgspec.Struct):
    """A label whose event has not come yet."""

    key: str
    time_ms: int
    label: Any
    weight: float
    record: Record


T = TypeVar("T", PendingRow, ParkedLabel)


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Waiting(Generic[T]):
    """A bounded map id → item in order of arrival, with `expired` in amortised constant time.

    Arrival order is time order because log time never goes back. The queue keeps entries of items already
    taken and is rebuilt when they outnumber the living, since deleting from the front of one dictionary turns
    quadratic.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.items: dict[str, T] = {}
        self.queue: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def full(self) -> bool:
        return len(self.items) >= self.limit

    def put(self, item_id: str, item: T) -> None:
        self.items[item_id] = item
        self.queue.append((item.time_ms, item_id))
        if len(self.queue) > 2 * len(self.items) + SLACK:
            self.queue = deque((kept.time_ms, kept_id) for kept_id, kept in self.items.items())

    def take(self, item_id: str) -> T | None:
        return self.items.pop(item_id, None)

    def oldest(self) -> tuple[str, T] | None:
        """The item that has waited longest, or None; it stays until taken."""
        while self.queue:
            time_ms, item_id = self.queue[0]
            item = self.items.get(item_id)
            if item is not None and item.time_ms == time_ms:
                return item_id, item
            self.queue.popleft()
        return None

    def expired(self, before_ms: int) -> tuple[str, T] | None:
        """The next item with `time_ms` < `before_ms`, removed; None when all are younger."""
        if not self.queue or self.queue[0][0] >= before_ms:
            return None
        found = self.oldest()
        if found is None or found[1].time_ms >= before_ms:
            return None
        self.queue.popleft()
        del self.items[found[0]]
        return found
