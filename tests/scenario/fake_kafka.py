"""Kafka in memory, as strict as the real client and broker: tests/contract/test_port_*.py see to that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import orjson

from stream_app.errors import Fenced, Halted, ShardFailed, StaleGroup
from stream_app.ports import Commit, JournalEntry, Polled, Positions, Send
from topics.catalog import catalog
from topics.envelope import RANKS, Record
from topics.sizes import CLIENT_BYTES, record_bytes

if TYPE_CHECKING:
    from tests.scenario.fake_outside import World

STRIDE = 2  # offsets that a journal record takes up: its own, and that of its transaction's control record
SPECS = catalog("a", 1)
BATCH_FRAME_BYTES = 61  # that the broker adds to a batch of one record
NO_MEMBER = b"no generation"
SHARD = 0


class Writer:
    """Transactions that are committed at once or not at all; the newest writer fences the others.

    While `world.markers_lost`, one is acknowledged and left open, as Kafka 4.3 does: the next one ends it
    too. A new writer aborts it, and so does an old generation or a connection that was lost.
    """

    def __init__(self, world: World, life: str = "") -> None:
        self.world = world
        self.life = life
        self.epoch: int | None = None

    def fence(self) -> None:
        if self.world.down:
            raise ShardFailed("the broker is down")
        self.world.owner += 1
        self.epoch = self.world.owner
        self.world.left_open = []

    def abort_left_open(self) -> None:
        """Abort what was acknowledged and left open; this writer's owner counts on it."""
        if self.world.left_open:
            self.world.left_open = []
            raise ShardFailed("a transaction was left open that was called committed")

    def commit(self, commit: Commit, group: bytes | None) -> int | None:
        world = self.world
        if world.down or self.epoch is None:
            raise ShardFailed("the broker is down, or was not asked for an epoch")
        predictions = [Send("predictions", key.encode(), value) for value, key, _ in commit.predictions]
        if any(map(too_large, [*predictions, *commit.others, Send("journal", None, commit.journal)])):
            raise ShardFailed("MSG_SIZE_TOO_LARGE")
        if self.epoch != world.owner:
            raise Fenced("another owner took the shard")
        if world.connection_lost:  # the client takes a new producer, under the same name
            world.connection_lost = False
            self.abort_left_open()
        if group not in (None, NO_MEMBER, world.generation):
            self.abort_left_open()
            raise StaleGroup("the group has another generation")
        if commit.journal is None:
            self.abort_left_open()
        world.left_open.append((commit, group))
        journals = sum(one.journal is not None for one, _ in world.left_open)
        offset = None if commit.journal is None else (len(world.journal) + journals - 1) * STRIDE
        if world.markers_lost:
            world.markers_lost -= 1
        else:
            ended, world.left_open = world.left_open, []
            for one in ended:
                self.end(*one)
        return offset

    def end(self, commit: Commit, group: bytes | None) -> None:
        """What a transaction wrote is seen."""
        world = self.world
        world.written += commit.others
        world.predictions += [value for value, _, _ in commit.predictions]
        if group is not None:
            world.committed, world.committed_life = list(commit.positions), self.life
        if commit.journal is not None:
            world.journal.append(commit.journal)

    def close(self) -> None:
        """Nothing is held."""


def too_large(send: Send) -> bool:
    """Whether the client refuses a record, or the broker would if nothing could be compressed."""
    size = record_bytes(send.key, send.value, send.headers)
    largest = int(getattr(SPECS, send.topic).config["max.message.bytes"])
    return size > CLIENT_BYTES or size + BATCH_FRAME_BYTES > largest


class Source:
    """Journal and inputs, each not here yet at first; `journal_reads` counts readings of the former."""

    def __init__(self, world: World, life: str = "") -> None:
        self.world = world
        self.life = life
        self.heads: Positions = []
        self.late: set[int] = set()  # inputs whose records are not here yet

    def journal(self, from_offset: int) -> Iterator[JournalEntry | None]:
        world = self.world
        if 0 <= from_offset < world.journal_low:
            raise Halted(f"the journal no longer retains {from_offset}")
        world.journal_reads += 1
        yield None
        first = max(from_offset, world.journal_low)
        for offset in range(first + first % STRIDE, len(world.journal) * STRIDE, STRIDE):
            yield JournalEntry(offset, world.journal[offset // STRIDE])

    def inputs(self, positions: Positions) -> None:
        self.heads, self.late = list(positions), set(RANKS)

    def read_next(self, rank: int, n: int, end: int) -> list[Record] | None:
        if rank in self.late:  # once after each placing: every wait costs a pause of whoever drains
            self.late.discard(rank)
            return None
        start = self.heads[rank]
        if start < self.world.low[rank] or self.world.end(rank) < end:
            raise Halted(f"input {rank} does not reach from {start} to {end}: ends at {self.world.end(rank)}")
        found = [record for record in self.world.inputs[rank] if start <= record.offset < end]
        if len(found) != n:
            raise Halted(f"input {rank} has {len(found)} records below {end}, the journal read {n}")
        self.heads[rank] = end
        return found

    def earliest(self) -> Positions:
        return list(self.world.low)

    def committed(self) -> list[int | None]:
        known = self.world.committed_life in ("", self.life) or not self.life
        return list(self.world.committed) if known else [None] * len(RANKS)

    def predicted(self) -> int | None:
        return orjson.loads(self.world.predictions[-1])["offset"] if self.world.predictions else None

    def group(self) -> bytes:
        return NO_MEMBER

    def close(self) -> None:
        """Nothing is held."""


class Log:
    """The group's only member; what a test hands to a shard by itself is there to be polled as well."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.on_assign: Callable[[list[int]], None] | None = None
        self.next: dict[int, int] = {}  # by rank, of the shard that was started
        self.paused: set[int] = set()
        self.silent: set[int] = set()  # inputs that reported their end since their last record, or a cut
        self.known: set[int] = set()

    def subscribe(
        self, on_assign: Callable[[list[int]], None], on_revoke: Callable[[list[int], bool], None]
    ) -> None:
        self.on_assign = on_assign

    def poll(self, limit: int, timeout_s: float) -> Polled:
        world, found = self.world, Polled({}, {}, {})
        if self.on_assign is not None:
            granted, self.on_assign = self.on_assign, None
            world.group = world.generation
            granted([SHARD])
            return found
        for rank in sorted(self.next.keys() - self.paused):
            self.known.add(rank)
            if self.next[rank] < world.low[rank]:
                if rank not in self.silent:
                    found.cut[SHARD, rank] = "out of range"
                    self.silent.add(rank)
                continue
            here = [record for record in world.inputs[rank] if record.offset >= self.next[rank]]
            records = here[:limit]
            limit -= len(records)
            if records:
                found.records[SHARD, rank] = records
                self.next[rank] = records[-1].offset + 1
                self.silent.discard(rank)
            elif not here and rank not in self.silent:
                found.ends[SHARD, rank] = self.next[rank] = max(self.next[rank], world.end(rank))
                self.silent.add(rank)
        return found

    def group(self) -> bytes | None:
        self.world.asked += 1
        return self.world.group

    def start(self, shard: int, positions: Positions) -> None:
        if self.next:
            raise ShardFailed("the shard is read already")
        self.next = dict(zip(RANKS, positions, strict=True))

    def stop(self, shard: int) -> None:
        for kept in (self.next, self.paused, self.silent, self.known):
            kept.clear()

    def pause(self, shard: int, rank: int) -> None:
        self.paused.add(rank)

    def resume(self, shard: int, rank: int) -> None:
        self.paused.discard(rank)

    def topic_ids(self) -> dict[str, str]:
        return dict(self.world.topic_ids)

    def ends(self, shard: int) -> list[int | None]:
        return [self.world.end(rank) if rank in self.known else None for rank in RANKS]

    def close(self) -> None:
        """Nothing is held."""
