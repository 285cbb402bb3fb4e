"""Kafka in memory, as strict as the real client and broker: tests/contract/test_port_*.py see to that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from stream_app.adapters.kafka_writer import OWN, written_whole
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
LEFT_OPEN = "a transaction was left open that was called committed"
SHARD = 0


class Writer:
    """Transactions that are committed at once or not at all; the newest writer fences the others.

    While `world.markers_lost`, one is acknowledged and left open, as Kafka 4.3 does. A marker ends all that
    is open in its topic: that of the next transaction which writes there. A new writer aborts what is open in
    the topics of OWN, and so does a connection that was lost.
    """

    def __init__(self, world: World, life: str = "") -> None:
        self.world = world
        self.life = life
        self.epoch: int | None = None
        self.unproven: set[str] = set()

    def fence(self) -> None:
        if self.world.down:
            raise ShardFailed("the broker is down")
        self.world.owner += 1
        self.epoch = self.world.owner
        self.abort(OWN)
        self.world.offsets_open = None

    def abort(self, topics: Iterable[str]) -> bool:
        """Abort what is open in these topics; whether there was something."""
        found = [self.world.left_open.pop(topic, []) for topic in topics]
        return any(found)

    def commit(self, commit: Commit, group: bytes | None) -> int | None:
        world, written = self.world, topics_of(commit)
        if world.down or self.epoch is None:
            raise ShardFailed("the broker is down, or was not asked for an epoch")
        predictions = [Send("predictions", key.encode(), value) for value, key, _ in commit.predictions]
        if any(map(too_large, [*predictions, *commit.others, Send("journal", None, commit.journal)])):
            raise ShardFailed("MSG_SIZE_TOO_LARGE")
        if self.epoch != world.owner:
            raise Fenced("another owner took the shard")
        self.resolve(commit, stale=group not in (None, NO_MEMBER, world.generation))
        for topic, values in written.items():
            world.left_open.setdefault(topic, []).extend(values)
        journals = len(world.left_open.get("journal", []))
        offset = None if commit.journal is None else (len(world.journal) + journals - 1) * STRIDE
        if group is not None:
            world.offsets_open = (list(commit.positions), self.life)
        if world.markers_lost:
            world.markers_lost -= 1
            return offset
        for topic in written:
            self.end(topic, world.left_open.pop(topic))
        if group is not None and world.offsets_open is not None:
            (world.committed, world.committed_life), world.offsets_open = world.offsets_open, None
        return offset

    def resolve(self, commit: Commit, *, stale: bool) -> None:
        """Look for what was left open where something aborts it, or the next marker would not end it."""
        world, whole = self.world, written_whole(commit)
        is_open = any(world.left_open.get(topic) for topic in OWN)
        if world.connection_lost:  # the client takes a new producer, under the same name
            world.connection_lost = False
            if self.abort(OWN):
                raise ShardFailed(LEFT_OPEN)
        if is_open and (stale or not self.unproven <= whole):
            self.abort(topics_of(commit))
            raise ShardFailed(LEFT_OPEN)
        if stale:
            self.abort(topics_of(commit))
            raise StaleGroup("the group has another generation")
        self.unproven = whole if not self.unproven <= whole else self.unproven | whole

    def end(self, topic: str, values: list[Any]) -> None:
        """What transactions wrote to a topic is seen."""
        world = self.world
        if topic == "predictions":
            world.predictions += [value for value, _, _ in values]
        elif topic == "journal":
            world.journal += values
        else:
            world.written += values

    def close(self) -> None:
        """Nothing is held."""


def topics_of(commit: Commit) -> dict[str, list[Any]]:
    """What a transaction writes, by topic."""
    found: dict[str, list[Any]] = {"predictions": list(commit.predictions)} if commit.predictions else {}
    for send in commit.others:
        found.setdefault(send.topic, []).append(send)
    return found if commit.journal is None else {**found, "journal": [commit.journal]}


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
