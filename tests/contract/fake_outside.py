"""A learner's outside in memory: what a broker, a store and Redis would hold, and how each can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

import orjson

from stream_app.adapters.snapshot_store import dump, seal, unpickle
from stream_app.application import Application
from stream_app.errors import ShardFailed, StaleGroup
from stream_app.learner.live import Live
from stream_app.learner.outside import Outside, Tuning
from stream_app.learner.shard import Phase, Shard
from stream_app.ports import Commit, JournalEntry, Polled, Positions, Send
from tests.contract.shard_driver import TOPICS
from topics.envelope import RANKS, Record

GROUP = b"generation 1"
FINGERPRINT: dict[str, Any] = {
    "definition": {"slots": {"champion": "0" * 32}},
    "topics": dict.fromkeys(TOPICS, "id"),
}


class Inline(Executor):
    """Does at once what would be done on a helper thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        fulfil(future, partial(fn, *args, **kwargs))
        return future


def fulfil(future: Future[Any], work: Callable[[], Any]) -> None:
    """Do the work, whatever comes of it."""
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001  as an executor does
        future.set_exception(error)


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic(self) -> float:
        return self.now_s


class World:
    """One shard's topics, snapshots and view, and all doors to them; `down` fails every transaction."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.group: bytes | None = GROUP  # what the member knows
        self.generation = GROUP  # under which the broker takes commits
        self.asked = 0  # how often for the group
        self.inputs: list[list[Record]] = [[] for _ in RANKS]
        self.journal: list[bytes] = []
        self.written: list[Send] = []
        self.predictions: list[bytes] = []
        self.snapshots: list[tuple[dict[str, Any], bytes]] = []
        self.view_answer = "ok"
        self.view_stamp: str | None = None
        self.rebuilt: list[dict[str, bytes | None]] = []
        self.view_keys: list[str] = []
        self.store_error: Exception | None = None
        self.store_away: Exception | None = None
        self.left_over: list[str] = []  # snapshots of an earlier life
        self.view_life: str | None = None
        self.topic_ids: dict[str, str] = dict(FINGERPRINT["topics"])
        self.dump_takes_s = self.model_takes_s = 0.0
        self.shelf_answer = "ok"
        self.shown: list[tuple[str, int, bytes]] = []  # what was published, newest last
        self.touched: list[tuple[str, int]] = []
        self.down = False
        self.journal_reads = 0
        self.clock = Clock()
        self.outside = Outside(
            app, TOPICS, Log(self), lambda _: Writer(self), lambda _: Source(self), lambda _: View(self),
            lambda _: Store(self), lambda _: Shelf(self), self.clock, Silent(), Inline(), Inline(),
            Tuning(batch_ms=0),
        )  # fmt: skip

    def save_snapshot(self, header: Mapping[str, Any], payload: bytes) -> None:
        """Where it is kept."""
        self.snapshots.insert(0, (orjson.loads(orjson.dumps(header)), payload))

    def alerts(self, kind: str) -> list[dict[str, Any]]:
        """The committed alerts of one type."""
        found = [orjson.loads(send.value or b"") for send in self.written if send.topic == "alerts"]
        return [alert for alert in found if alert["type"] == kind]

    def shard(self, fingerprint: dict[str, Any] | None = None) -> Shard:
        """A shard over this world, recovered as far as it comes."""
        shard = Shard(self.outside, 0, fingerprint or FINGERPRINT)
        for _ in range(10):
            shard.turn()
            if shard.phase is not Phase.RECOVERING:
                break
        return shard

    def feed(self, shard: Shard, rank: int, value: Mapping[str, Any], key: bytes = b"k") -> None:
        """Append a record to an input and let the shard apply and commit it, a second later."""
        assert shard.live is not None
        self.clock.now_s += 1.5
        self.offer(shard.live, rank, value, key)
        self.settle(shard)

    def offer(self, live: Live, rank: int, value: Mapping[str, Any], key: bytes = b"k") -> None:
        """Append a record to an input and hand it over as the last one that there is."""
        live.offer(rank, [self.record(rank, self.clock.now_ms(), value, key)])
        for other in RANKS:
            live.merge.end(other, len(self.inputs[other]))

    def record(self, rank: int, time_ms: int, value: Mapping[str, Any], key: bytes = b"k") -> Record:
        """A record at the end of an input."""
        encoded = orjson.dumps({"v": 1, **value})
        record = Record(rank, len(self.inputs[rank]), time_ms, key, encoded, None)
        self.inputs[rank].append(record)
        return record

    def settle(self, shard: Shard) -> None:
        """Turns enough to commit what was stepped and to tell the statistics."""
        for _ in range(4):
            shard.turn()
            self.clock.now_s += 1.5


class View:
    """Answers as it is told to."""

    def __init__(self, world: World) -> None:
        self.world = world

    def write(self, previous: str, stamp: str, blobs: Mapping[str, bytes | None]) -> str:
        return self.world.view_answer

    def rebuild(self, stamp: str, blobs: Mapping[str, bytes | None], done: bool) -> str:
        if self.world.view_answer == "ok":
            self.world.rebuilt.append(dict(blobs))
        return self.world.view_answer

    def keys(self) -> list[str] | None:
        return None if self.world.view_answer == "down" else list(self.world.view_keys)

    def stamp(self) -> str | None:
        return self.world.view_stamp

    def wrote(self) -> str | None:
        return self.world.view_life


class Shelf:
    """Keeps what is published; `shelf_answer` is what Redis says."""

    def __init__(self, world: World) -> None:
        self.world = world

    def seal(self, header: Mapping[str, Any], published: Any) -> bytes:
        return seal(b"key", header, dump(published))

    def put(self, stamp: str, at_ms: int, sealed: bytes) -> str:
        if self.world.shelf_answer == "raises":
            raise RuntimeError("a store of its own kind")
        if self.world.shelf_answer == "ok":
            self.world.shown.append((stamp, at_ms, sealed))
        return self.world.shelf_answer

    def touch(self, stamp: str, at_ms: int) -> str:
        self.world.touched.append((stamp, at_ms))
        return self.world.shelf_answer


class Store:
    """Snapshots in memory, newest first; `store_error` is what saving raises, `store_away` what reading does.

    A name is `<place from the oldest>-<life>`.
    """

    folder = "snapshots/a/0"

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self) -> None:
        """As a store that may be away."""
        if self.world.store_away is not None:
            raise self.world.store_away

    def names(self) -> list[str]:
        self.answer()
        newest = len(self.world.snapshots)
        return [f"{newest - n}-{head['life']}" for n, (head, _) in enumerate(self.world.snapshots)]

    def left_over(self) -> list[str]:
        self.answer()
        return list(self.world.left_over)

    def tidy(self) -> None:
        self.answer()

    def read(self, name: str) -> tuple[dict[str, Any], Callable[[], Any]] | None:
        self.answer()
        header, payload = self.world.snapshots[-int(name.partition("-")[0])]
        return header, lambda: unpickle(payload, self.world.app.modules)

    def dump(self, state: Any) -> bytes:
        whole = isinstance(state, dict)  # or one model by itself
        self.world.clock.now_s += self.world.dump_takes_s if whole else self.world.model_takes_s
        if self.world.store_error is not None:
            raise self.world.store_error
        return dump(state)

    def round_trip(self, model: Any) -> Any:
        return unpickle(dump(model), self.world.app.modules)

    def save(self, header: Mapping[str, Any], payload: bytes) -> int:
        self.world.save_snapshot(header, payload)
        return len(payload)

    def load(self) -> Iterable[tuple[dict[str, Any], Callable[[], Any]]]:
        found = map(self.read, self.names())
        return [each for each in found if each is not None]


class Writer:
    """Transactions that are committed at once, or fail."""

    def __init__(self, world: World) -> None:
        self.world = world

    def fence(self) -> None:
        if self.world.down:
            raise ShardFailed("the broker is down")

    def commit(self, commit: Commit, group: bytes | None) -> int | None:
        self.fence()
        if group not in (None, self.world.generation):
            raise StaleGroup("the group has another generation")
        self.world.written += commit.others
        self.world.predictions += [value for value, _, _ in commit.predictions]
        if commit.journal is None:
            return None
        self.world.journal.append(commit.journal)
        return len(self.world.journal) - 1

    def close(self) -> None:
        """Nothing is held."""


class Source:
    """The journal and the inputs, whole; `journal_reads` counts how often the former was read."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heads: Positions = []

    def journal(self, from_offset: int) -> Iterator[JournalEntry | None]:
        self.world.journal_reads += 1
        for offset in range(max(0, from_offset), len(self.world.journal)):
            yield JournalEntry(offset, self.world.journal[offset])

    def inputs(self, positions: Positions) -> None:
        self.heads = list(positions)

    def take(self, rank: int, n: int, end: int) -> list[Record] | None:
        start, self.heads[rank] = self.heads[rank], end
        return self.world.inputs[rank][start:end]

    def earliest(self) -> Positions:
        return [0] * len(RANKS)

    def committed(self) -> list[int | None]:
        return [None] * len(RANKS)

    def close(self) -> None:
        """Nothing is held."""


class Log:
    """Reads nothing: a test offers records to the shard itself."""

    def __init__(self, world: World) -> None:
        self.world = world

    def subscribe(
        self, on_assign: Callable[[list[int]], None], on_revoke: Callable[[list[int], bool], None]
    ) -> None: ...
    def poll(self, limit: int, timeout_s: float) -> Polled:
        return Polled({}, {}, {})

    def group(self) -> bytes | None:
        self.world.asked += 1
        return self.world.group

    def start(self, shard: int, positions: Positions) -> None: ...
    def stop(self, shard: int) -> None: ...
    def pause(self, shard: int, rank: int) -> None: ...
    def resume(self, shard: int, rank: int) -> None: ...
    def topic_ids(self) -> dict[str, str]:
        return dict(self.world.topic_ids)

    def ends(self, shard: int) -> list[int | None]:
        return [None] * len(RANKS)

    def close(self) -> None: ...


class Silent:
    """Telemetry that nobody reads."""

    def stats(self, shard: int, stats: Mapping[str, Any]) -> None: ...
    def phase(self, shard: int, phase: str) -> None: ...


class Held(Executor):
    """Does what it was given when it is let go."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.held.append((future, partial(fn, *args, **kwargs)))
        return future

    def let_go(self) -> None:
        """The oldest is done."""
        fulfil(*self.held.pop(0))
