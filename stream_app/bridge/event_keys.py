"""The entities of events, for labels that carry an event's id alone; and labels that came before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from stream_app.bridge_port import Place
from topics.envelope import Record


class WaitingLabel(NamedTuple):
    """A label without its event, as `body` to write once that comes, and the record that it came in."""

    event_id: str
    body: bytes
    time_ms: int
    record: Record
    place: Place


class EventKeys:
    """Keys of the newest events, and waiting labels, by id; its clock is the newest event time in epoch ms.

    An id is kept for `keep_ms`, at most `most_ids`; one that comes again after `again_ms` is another event's.
    A label waits for `horizon_ms`, at most `most_waiting`.
    """

    def __init__(
        self, horizon_ms: int, keep_ms: int, again_ms: int, most_ids: int, most_waiting: int
    ) -> None:
        self.horizon_ms, self.keep_ms, self.again_ms = horizon_ms, keep_ms, again_ms
        self.most_ids, self.most_waiting = most_ids, most_waiting
        self.clock_ms = 0
        self.keys: dict[str, tuple[str, int]] = {}  # and when the event came
        self.ages: deque[tuple[int, str]] = deque()  # of ids, the oldest first: when they came
        self.waiting: dict[str, list[WaitingLabel]] = {}
        # When labels came, the oldest first, also of those that wait no more.
        self.queue: deque[tuple[int, str, Place]] = deque()
        self.n_waiting = 0
        self.n_forgotten = 0  # ids that left before their time

    def advance(self, time_ms: int) -> None:
        """Move the clock to a record's time, never back, and forget ids whose labels would be late."""
        self.clock_ms = max(self.clock_ms, time_ms)
        oldest_ms = self.clock_ms - self.keep_ms
        while self.ages and self.ages[0][0] < oldest_ms:
            self.forget_oldest()

    def forget_oldest(self) -> bool:
        """Forget the id that came first, unless it has come again since."""
        came_ms, event_id = self.ages.popleft()
        if self.keys[event_id][1] != came_ms:
            return False
        del self.keys[event_id]
        return True

    def is_new(self, event_id: str) -> bool:
        """Whether an event of this id would be another one than those that came before."""
        known = self.keys.get(event_id)
        return known is None or self.clock_ms - known[1] > self.again_ms

    def add(self, event_id: str, key: str) -> list[WaitingLabel]:
        """Enter a new event, and give the labels that waited for it."""
        while event_id not in self.keys and len(self.keys) >= self.most_ids:
            self.n_forgotten += self.forget_oldest()
        self.keys[event_id] = (key, self.clock_ms)
        self.ages.append((self.clock_ms, event_id))
        found = self.waiting.pop(event_id, [])
        self.n_waiting -= len(found)
        return found

    def key_of(self, event_id: str) -> str | None:
        """The entity of an event; None: it is not known."""
        known = self.keys.get(event_id)
        return None if known is None else known[0]

    @property
    def is_full(self) -> bool:
        """Whether no more labels can wait."""
        return self.n_waiting >= self.most_waiting

    def wait(self, waiting: WaitingLabel) -> None:
        """Keep a label until its event comes."""
        self.waiting.setdefault(waiting.event_id, []).append(waiting)
        self.queue.append((self.clock_ms, waiting.event_id, waiting.place))
        self.n_waiting += 1

    def give_up(self) -> Iterator[WaitingLabel]:
        """Take out each label that has waited for longer than the horizon."""
        while self.queue and self.queue[0][0] < self.clock_ms - self.horizon_ms:
            _, event_id, place = self.queue.popleft()
            labels = self.waiting.get(event_id)
            if labels and labels[0].place == place:
                yield labels[0]
                self.drop_oldest(event_id)

    def drop_oldest(self, event_id: str) -> None:
        """Take out the oldest of the labels that wait for an event, if one does."""
        labels = self.waiting.get(event_id)
        if labels:
            del labels[0]
            self.n_waiting -= 1
            if not labels:
                del self.waiting[event_id]


class KeptLabel(NamedTuple):
    """What the bridge's own topic says of a label that waits, beside the record that it came in.

    `stamp_ms` is that record's timestamp, `time_ms` the label's time, `clock_ms` the bridge's.
    """

    place: Place
    stamp_ms: int
    clock_ms: int
    time_ms: int
    key: bytes | None
    body: bytes

    def packed(self) -> bytes:
        """As the value of a header."""
        key = None if self.key is None else self.key.hex()
        return orjson.dumps(
            [*self.place, self.stamp_ms, self.clock_ms, self.time_ms, key, self.body.decode()]
        )

    @staticmethod
    def unpacked(packed: bytes) -> KeptLabel:
        """From the value of a header."""
        topic, partition, offset, stamp_ms, clock_ms, time_ms, key, body = orjson.loads(packed)
        place = Place(topic, partition, offset)
        kept_key = None if key is None else bytes.fromhex(key)
        return KeptLabel(place, stamp_ms, clock_ms, time_ms, kept_key, body.encode())
