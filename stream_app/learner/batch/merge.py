"""The order rule: merge a shard's inputs by (event time clamped to be monotonic, rank, offset).

An input is *quiet* when it reported its end since its last record. The merge waits for an empty input
unless it is quiet: without the wait, catching up reads thousands of labels before the first
event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from topics.envelope import RANKS, Record

Run = tuple[int, list[Record]]


class Merge:
    """Buffers of one shard's three inputs; `clock_ms` is the clamp, moved by every record that was merged.

    `positions` are those from which the inputs are read. What lies before them, or came already, is dropped:
    librdkafka (2.14) was seen to give records of two inputs a second time after a rebalance.
    """

    def __init__(self, clock_ms: int, positions: Sequence[int] = (0, 0, 0)) -> None:
        self.clock_ms = clock_ms
        self.next = list(positions)
        self.buffers: tuple[deque[Record], ...] = tuple(deque() for _ in RANKS)
        self.quiet = [False] * len(RANKS)
        self.ends = [-1] * len(RANKS)
        self.mean_bytes = [0.0] * len(RANKS)

    def offer(self, rank: int, records: list[Record]) -> int:
        """Take records in; the input is no longer quiet. Gives how many came already."""
        offered, expected = len(records), self.next[rank]
        for record in records:
            if record.offset < expected:
                records = self.without_repeats(rank, records)
                break
            expected = record.offset + 1
        if not records:
            return offered
        self.next[rank] = records[-1].offset + 1
        self.buffers[rank].extend(records)
        self.quiet[rank] = False
        mean = sum(len(record.value or b"") for record in records) / max(1, len(records))
        self.mean_bytes[rank] = max(
            mean, self.mean_bytes[rank] if len(self.buffers[rank]) > len(records) else 0
        )
        return offered - len(records)

    def without_repeats(self, rank: int, records: list[Record]) -> list[Record]:
        """The records that did not come before."""
        expected, fresh = self.next[rank], list[Record]()
        for record in records:
            if record.offset >= expected:
                fresh.append(record)
                expected = record.offset + 1
        return fresh

    def end(self, rank: int, position: int) -> None:
        """The input has nothing below `position` that was not offered."""
        self.quiet[rank] = True
        self.ends[rank] = position

    def buffered(self, rank: int) -> int:
        return len(self.buffers[rank])

    def last(self, rank: int) -> int | None:
        """The newest offset at hand."""
        return self.buffers[rank][-1].offset if self.buffers[rank] else None

    def oldest_ms(self, rank: int) -> int | None:
        """The time of the next record at hand."""
        return self.buffers[rank][0].time_ms if self.buffers[rank] else None

    def buffered_bytes(self, rank: int) -> float:
        """An upper estimate of what the input's buffered values take."""
        return len(self.buffers[rank]) * self.mean_bytes[rank]

    @property
    def idle(self) -> bool:
        """Whether every input is at its end and drained."""
        return all(self.quiet) and not any(self.buffers)

    def ends_past(self, positions: list[int]) -> bool:
        """Whether it is idle, and control records lie between these positions and the ends."""
        return self.idle and any(end > at for end, at in zip(self.ends, positions, strict=True))

    def waiting_for(self) -> list[int]:
        """The inputs that hold the merge up while another has records."""
        if not any(self.buffers):
            return []
        return [rank for rank in RANKS if not self.buffers[rank] and not self.quiet[rank]]

    def position(self, rank: int, applied: int) -> int:
        """The consumer position after `applied` (last offset + 1), past known control records."""
        buffer = self.buffers[rank]
        if buffer:
            return buffer[0].offset
        return max(applied, self.ends[rank]) if self.quiet[rank] else applied

    def next_runs(self, limit: int) -> list[Run]:
        """Up to `limit` records in order, as runs of one input each; none while one must be waited for."""
        runs: list[Run] = []
        buffers, taken = self.buffers, 0
        while taken < limit:
            best, bound_ms, bound_rank = -1, 0, 0
            best_ms = rival_ms = rival = -1
            for rank in RANKS:
                buffer = buffers[rank]
                if not buffer:
                    if not self.quiet[rank]:
                        return runs
                    continue
                time_ms = buffer[0].time_ms
                if time_ms < self.clock_ms:
                    time_ms = self.clock_ms
                if best < 0 or time_ms < best_ms:
                    rival, rival_ms = best, best_ms
                    best, best_ms = rank, time_ms
                elif rival < 0 or time_ms < rival_ms:
                    rival, rival_ms = rank, time_ms
            if best < 0:
                return runs
            bound_ms, bound_rank = rival_ms, rival
            run: list[Record] = []
            buffer, clock_ms = buffers[best], self.clock_ms
            while buffer and taken < limit:
                time_ms = buffer[0].time_ms
                if time_ms < clock_ms:
                    time_ms = clock_ms
                if rival >= 0 and (time_ms > bound_ms or (time_ms == bound_ms and best > bound_rank)):
                    break
                clock_ms = time_ms
                run.append(buffer.popleft())
                taken += 1
            self.clock_ms = clock_ms
            runs.append((best, run))
        return runs


def pack_order(runs: list[tuple[int, int]]) -> str:
    """Run lengths by input letter (c, e, l); one is the bare letter, neighbours of one input are joined.

    >>> pack_order([(1, 3), (2, 1), (2, 1), (1, 1)])
    'e3l2e'
    """
    joined: list[list[int]] = []
    for rank, n in runs:
        if joined and joined[-1][0] == rank:
            joined[-1][1] += n
        else:
            joined.append([rank, n])
    return "".join("cel"[rank] + (str(n) if n > 1 else "") for rank, n in joined)


def unpack_order(order: str) -> list[tuple[int, int]]:
    """The inverse of `pack_order`.

    >>> unpack_order("e3l2e")
    [(1, 3), (2, 2), (1, 1)]
    """
    runs: list[tuple[int, int]] = []
    i = 0
    while i < len(order):
        j = i + 1
        while j < len(order) and order[j].isdigit():
            j += 1
        runs.append(("cel".index(order[i]), int(order[i + 1 : j] or 1)))
        i = j
    return runs
