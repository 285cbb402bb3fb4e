"""Rows that wait for their label, and labels that came before their event."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Generic, TypeVar

import msgspec
from mypy_extensions import mypyc_attr

from stream_app.models.calls import Answer
from topics.envelope import Record

SLACK: Final = 1_024  # queue entries of rows already joined that are tolerated before the queue is rebuilt


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class PendingRow:
    """A predicted event: its feature row and what each slot served, until label or horizon.

    `served` maps model version → (prediction, probabilities); `baseline` is the last label known then. `size`
    is the length of the event's value in bytes.
    """

    size: int = 0
    votes: Any = None  # of a blend: how many labels it knew, and what each mixer would have answered

    def __init__(
        self,
        key: str,
        time_ms: int,
        offset: int,
        row: dict[str, Any],
        served: dict[int, Answer],
        baseline: Any,
        size: int = 0,
    ) -> None:
        self.key = key
        self.time_ms = time_ms
        self.offset = offset
        self.row = row
        self.served = served
        self.baseline = baseline
        self.size = size
        self.votes = None

    @property
    def champion_answer(self) -> Answer | None:
        """What was published: the champion of that time predicted first. None where no slot predicted."""
        for answer in self.served.values():
            return answer
        return None


class ParkedLabel(msgspec.Struct):
    """A label whose event has not come yet."""

    key: str
    time_ms: int
    label: Any
    weight: float
    record: Record

    @property
    def size(self) -> int:
        """Length of the label's value in bytes."""
        return len(self.record.value or b"")


T = TypeVar("T", PendingRow, ParkedLabel)


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Waiting(Generic[T]):
    """A map id → item in order of arrival, bounded in items and bytes; `expired` in amortised constant time.

    Arrival order is time order because log time never goes back. The queue keeps entries of items already
    taken and is rebuilt when they outnumber the living, since deleting from the front of one dictionary turns
    quadratic.
    """

    limit_bytes: int = 1 << 30
    n_bytes: int = 0  # of the records of all items

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.n_bytes = 0
        self.items: dict[str, T] = {}
        self.queue: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self.items)

    def full(self, size: int) -> bool:
        """Whether one more item of `size` bytes would pass a bound."""
        n = len(self.items)
        return n >= self.limit or (n > 0 and self.n_bytes + size > self.limit_bytes)

    def put(self, item_id: str, item: T) -> None:
        """Add an item whose id is not there."""
        self.items[item_id] = item
        self.n_bytes += item.size
        self.queue.append((item.time_ms, item_id))
        if len(self.queue) > 2 * len(self.items) + SLACK:
            self.queue = deque((kept.time_ms, kept_id) for kept_id, kept in self.items.items())

    def pop(self, item_id: str) -> T | None:
        item = self.items.pop(item_id, None)
        if item is not None:
            self.n_bytes -= item.size
        return item

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
        self.pop(found[0])
        return found
