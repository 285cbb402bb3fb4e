"""A learner's outside in memory: what a broker, a store and Redis would hold, and how each can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from math import inf
from tempfile import TemporaryFile
from typing import Any
from weakref import finalize

import orjson

from stream_app.adapters.pickled import Dump, refill_sets
from stream_app.adapters.signing import seal
from stream_app.adapters.snapshot_pins import MOST, ended
from stream_app.adapters.snapshot_store import KEPT, round_trip
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Application
from stream_app.learner.active_shard import ActiveShard
from stream_app.learner.dependencies import Dependencies, Inspection, Tuning
from stream_app.learner.history.past import Past
from stream_app.learner.shard import Phase, Shard
from stream_app.learner.step_marks import StepMarks
from stream_app.ports import Send
from tests.scenario.fake_kafka import Log, Source, Writer
from tests.scenario.shard_driver import TOPICS
from topics.batch_id import batch_of
from topics.envelope import EVENT, RANKS, Record
from topics.records import Stats

GROUP = b"generation 1"
PRIVATE = b"k" * 32
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
        self.now_s = 1_000_000_000.0  # of 2001

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
        self.marks = [0] * len(RANKS)  # where the inputs end behind control records
        self.low = [0] * len(RANKS)  # the earliest retained offsets
        self.journal: list[bytes] = []
        self.journal_low = 0
        self.committed: list[int | None] = [None] * len(RANKS)
        self.committed_life = ""
        self.owner = 0  # the epoch of the newest writer
        self.written: list[Send] = []
        self.predictions: list[bytes] = []
        self.left_open: dict[str, list[Any]] = {}  # by topic: acknowledged, and nobody sees it yet
        self.offsets_open: tuple[list[int | None], str] | None = None
        self.markers_lost = 0  # so many transactions will be left open
        self.connection_lost = False
        self.snapshots: list[tuple[dict[str, Any], bytes]] = []
        self.pinned: set[tuple[int, int]] = set()  # snapshots that stay for versions that ended behind them
        self.view_answer = "ok"
        self.view_stamp: str | None = None
        self.rebuilt: list[dict[str, bytes | None]] = []
        self.view_keys: list[str] = []
        self.sealed: list[tuple[str, str]] = []  # the view as a whole: by a write or a rebuild, its stamp
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
        self.topics_found = Inspection()
        self.journal_reads = 0
        self.clock = Clock()
        self.step_file = TemporaryFile()  # noqa: SIM115  as the supervisor holds it
        finalize(self, self.step_file.close)
        self.deps = Dependencies(
            app,
            TOPICS,
            Log(self),
            lambda _: Writer(self),
            lambda _: Source(self),
            lambda _: View(self),
            lambda _: Store(self),
            lambda _: Shelf(self),
            self.inspected,
            self.clock,
            Silent(),
            Inline(),
            Inline(),
            Tuning(batch_ms=0),
        )

    def inspected(self) -> Inspection:
        """What an inspection of the topics finds."""
        return self.topics_found

    def save_snapshot(self, header: Mapping[str, Any], payload: bytes) -> None:
        """Keep it as files would be: the newest, those that begin an epoch, and those that versions need."""
        saved = orjson.loads(orjson.dumps(header))
        place = place_of(saved)
        kept = [one for one in self.snapshots if place_of(one[0]) != place]
        newest_first = sorted([*kept, (saved, payload)], key=lambda one: place_of(one[0]))[::-1]
        firsts = {one[0]["epoch"]: one for one in newest_first}
        before = next((head for head, _ in newest_first if place_of(head) < place), None)
        if before is not None and ended(before, saved):
            self.pinned.add(place_of(before))
        pinned = [one for one in newest_first if place_of(one[0]) in self.pinned][:MOST]
        self.snapshots[:] = [
            one
            for number, one in enumerate(newest_first)
            if number < KEPT or one in pinned or (one[0]["epoch"] and firsts[one[0]["epoch"]] is one)
        ]

    def alerts(self, kind: str) -> list[dict[str, Any]]:
        """The committed alerts of one type."""
        found = [orjson.loads(send.value or b"") for send in self.written if send.topic == "alerts"]
        return [alert for alert in found if alert["type"] == kind]

    def shard(
        self, fingerprint: dict[str, Any] | None = None, *, proven: bool = True, restarted: bool = False
    ) -> Shard:
        """A shard over this world, recovered as far as it comes; `proven`: its inputs were at their ends.

        `restarted`: its process succeeds another one under the same supervisor.
        """
        if not restarted:
            self.step_file.truncate(0)
        deps = replace(self.deps, marks=StepMarks(self.step_file.fileno()))
        deps.log.stop(0)  # another process, whose client has read nothing yet
        shard = Shard(deps, 0, fingerprint or FINGERPRINT)
        for _ in range(2_000):
            shard.turn()
            if shard.phase is not Phase.RECOVERING:
                break
        if proven and shard.live is not None:
            shard.live.care.idle()
        return shard

    def past(self, fingerprint: dict[str, Any] = FINGERPRINT, app: Application | None = None) -> Past:
        """The shard's past, as a command opens it."""
        return Past(app or self.app, 0, Source(self), Store(self), self.clock, fingerprint, TOPICS)

    def quiet(self, fingerprint: dict[str, Any] | None = None) -> Shard:
        """A shard that publishes no champion and sends no statistics: nine tenths of the time of a long life
        that is fed record by record.
        """
        self.deps = replace(self.deps, tuning=replace(self.deps.tuning, publish_s=1e9))
        shard = self.shard(fingerprint)
        assert shard.live is not None, shard.refusal
        shard.live.stats_at_s = inf
        return shard

    def feed(self, shard: Shard, rank: int, value: Mapping[str, Any], key: bytes = b"k") -> None:
        """Append a record to an input and let the shard apply and commit it, a second later."""
        assert shard.live is not None
        self.clock.now_s += 1.5
        self.offer(shard.live, rank, value, key)
        self.settle(shard)

    def offer(self, live: ActiveShard, rank: int, value: Mapping[str, Any], key: bytes = b"k") -> None:
        """Append a record to an input and hand it over as the last one that there is."""
        live.offer(rank, [self.record(rank, self.clock.now_ms(), value, key)])
        for other in RANKS:
            live.merge.end(other, self.end(other))

    def catch_up(self, shard: Shard) -> None:
        """Let a shard read all that its inputs still hold."""
        assert shard.live is not None, shard.refusal
        if unread := self.inputs[EVENT][shard.live.processor.positions[EVENT] :]:
            shard.live.offer(EVENT, unread)
        for rank, records in enumerate(self.inputs):
            shard.live.merge.end(rank, len(records))
        self.settle(shard)

    def record(self, rank: int, time_ms: int, value: Mapping[str, Any], key: bytes = b"k") -> Record:
        """A record at the end of an input."""
        encoded = orjson.dumps({"v": 1, **value})
        record = Record(rank, self.end(rank), time_ms, key, encoded, None)
        self.inputs[rank].append(record)
        return record

    def end(self, rank: int) -> int:
        """Where the next record of an input will lie."""
        newest = self.inputs[rank][-1].offset + 1 if self.inputs[rank] else 0
        return max(self.marks[rank], newest)

    def settle(self, shard: Shard) -> None:
        """Turns enough to commit what was stepped and to tell the statistics."""
        for _ in range(4):
            shard.turn()
            self.clock.now_s += 1.5


def place_of(header: Mapping[str, Any]) -> tuple[int, int]:
    """Epoch and number of a snapshot."""
    return header["epoch"], header["seq"]


class View:
    """One shard's blobs and their stamp, fenced as by the script in Redis; `view_answer` overrules it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def write(self, previous: str, stamp: str, blobs: Mapping[str, bytes | None]) -> str:
        stored = self.world.view_stamp
        behind = is_newer(previous, stored) or "rebuilding" in (stored or "")
        answer = self.show(stamp, stamp, blobs, "behind" if behind else "ok")
        if answer == "ok":
            self.world.sealed.append(("write", stamp))
        return answer

    def rebuild(self, stamp: str, blobs: Mapping[str, bytes | None], done: bool) -> str:
        answer = self.show(stamp, stamp if done else f"{stamp}:rebuilding", blobs, "ok")
        if answer == "ok":
            self.world.rebuilt.append(dict(blobs))
            self.world.sealed += [("rebuild", stamp)] if done else []
        return answer

    def show(self, stamp: str, shown: str, blobs: Mapping[str, bytes | None], answer: str) -> str:
        if self.world.view_answer != "ok":
            return self.world.view_answer
        if is_newer(self.world.view_stamp, stamp):
            return "fenced"
        if answer == "ok":
            self.world.view_stamp = shown
            self.world.view_keys = [
                key
                for key in {**dict.fromkeys(self.world.view_keys), **blobs}
                if blobs.get(key, b"") is not None
            ]
        return answer

    def keys(self) -> list[str] | None:
        return None if self.world.view_answer == "down" else list(self.world.view_keys)

    def stamp(self) -> str | None:
        stored = self.world.view_stamp
        down = self.world.view_answer == "down"
        return None if down or stored is None or "rebuilding" in stored else stored

    def forget(self, stamp: str) -> None:
        if self.world.view_answer != "down" and self.world.view_stamp == stamp:
            self.world.view_stamp = None

    def wrote(self) -> str | None:
        return None if self.world.view_answer == "down" else self.world.view_life


def is_newer(one: str | None, other: str | None) -> bool:
    """Whether a stamp `<epoch>:<seq>` is later; one that is missing is earlier than any."""
    first, second = (batch_of((stamp or "").removesuffix(":rebuilding")) for stamp in (one, other))
    return first > second


class Shelf:
    """Keeps what is published, fenced by its stamp; `shelf_answer` overrules what Redis would say."""

    def __init__(self, world: World) -> None:
        self.world = world

    def dump(self, whole: Any, models: Iterable[Any]) -> Dump:
        return Dump(whole, models)

    def copy(self, payload: bytes) -> Any:
        return unpickle(payload, self.world.app.modules)

    def seal(self, header: Mapping[str, Any], payload: bytes) -> bytes:
        return seal(PRIVATE, header, payload)

    def put(self, stamp: str, at_ms: int, sealed: bytes) -> str:
        if self.world.shelf_answer == "raises":
            raise RuntimeError("a store of its own kind")
        answer = self.judge(stamp)
        if answer == "ok":
            self.world.shown.append((stamp, at_ms, sealed))
        return answer

    def stamp(self) -> str | None:
        shown = self.world.shown and self.world.shelf_answer != "down"
        return self.world.shown[-1][0] if shown else None

    def forget(self, stamp: str) -> None:
        if self.stamp() == stamp:
            self.world.shown.pop()

    def touch(self, stamp: str, at_ms: int) -> str:
        self.world.touched.append((stamp, at_ms))
        answer, shown = self.judge(stamp), self.world.shown
        return "behind" if answer == "ok" and (not shown or shown[-1][0] != stamp) else answer

    def judge(self, stamp: str) -> str:
        fenced = bool(self.world.shown) and is_newer(self.world.shown[-1][0], stamp)
        return "fenced" if self.world.shelf_answer == "ok" and fenced else self.world.shelf_answer


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
        return [f"{newest - n}-{head.get('life', '')}" for n, (head, _) in enumerate(self.world.snapshots)]

    def left_over(self) -> list[str]:
        self.answer()
        return list(self.world.left_over)

    def tidy(self) -> None:
        self.answer()

    def read(self, name: str) -> tuple[dict[str, Any], Callable[[], Any]] | None:
        self.answer()
        header, payload = self.world.snapshots[-int(name.partition("-")[0])]
        return header, lambda: unpickle(payload, self.world.app.modules)

    def dump(self, whole: Any, models: Iterable[Any]) -> Dump:
        state = isinstance(whole, dict)  # or one model by itself
        self.world.clock.now_s += self.world.dump_takes_s if state else self.world.model_takes_s
        if self.world.store_error is not None:
            raise self.world.store_error
        return Dump(whole, models)

    def refill_sets(self, models: Iterable[Any]) -> None:
        refill_sets(models)

    def copy(self, payload: bytes) -> Any:
        return unpickle(payload, self.world.app.modules)

    def round_trip(self, model: Any) -> Any:
        return round_trip(model, self.world.app.modules)

    def save(self, header: Mapping[str, Any], payload: bytes) -> int:
        self.world.save_snapshot(header, payload)
        return len(payload)

    def load(self) -> Iterable[tuple[dict[str, Any], Callable[[], Any]]]:
        found = map(self.read, self.names())
        return [each for each in found if each is not None]


class Silent:
    """Telemetry that nobody reads."""

    def stats(self, shard: int, stats: Stats) -> None: ...
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
