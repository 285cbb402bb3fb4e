"""A shard that is restored from a backup goes on as one that never stopped."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from river import tree

from drift.rule import SwapPolicy
from stream_app import features as f
from stream_app.adapters.snapshot_store import FileSnapshots
from stream_app.application import Application, Labels
from stream_app.errors import Refused
from stream_app.learner.history.backup import (
    ClosedJournal,
    keep_state,
    newest_receipts,
    state_at_end,
    writable,
)
from stream_app.learner.history.epoch import journal_epoch
from stream_app.learner.history.restore import (
    Backed,
    check_same_definition,
    has_entered,
    is_placed,
    left_to_write,
    place,
)
from stream_app.learner.history.verify import drain
from stream_app.learner.recovery.snapshots import state_digest
from stream_app.learner.shard import Phase, Shard
from stream_app.models.pools import pool
from tests.scenario.fake_kafka import STRIDE, Source, Writer
from tests.scenario.fake_outside import FINGERPRINT, PRIVATE, Store, World
from tests.scenario.shard_driver import TOPICS, application
from topics.codec import check_headers
from topics.envelope import EVENT, LABEL, RANKS, UNREADABLE, Record
from topics.life import life_of

ELSEWHERE: dict[str, Any] = {**FINGERPRINT, "topics": dict.fromkeys(TOPICS, "another id")}
BEFORE, UNREAD, AFTER, DELAY = 150, 20, 200, 7
APPS = {
    "features": application(features=[f.count(window="1m"), f.mean("x", window="10s")]),
    "challengers": application(
        labels=Labels(horizon="1h"),
        challengers={"tree": lambda seed: tree.HoeffdingTreeClassifier(grace_period=20)},
        swap=SwapPolicy(warm=50, min_labels=20, cooldown=50),
    ),
    "blend": Application(**pool("binary"), name="a"),
}


def send(world: World, n: int) -> None:
    """Append the nth event, and the label of an earlier one; in the middle of all the labels flip."""
    world.clock.now_s += 0.5
    dice = random.Random(n)
    features: dict[str, Any] = {"x": dice.gauss(n % 2, 0.5), "y": dice.random()}
    if world.app.serve != "champion" and n % 3:
        features["c"] = "ab"[n % 2]
    key = f"k{n % 5}".encode()
    world.record(EVENT, world.clock.now_ms(), {"event_id": f"e{n}", "features": features}, key)
    late = n - DELAY
    if late >= 0:
        flipped = late > BEFORE - 60
        value = {"event_id": f"e{late}", "label": bool(late % 2) != flipped}
        world.record(LABEL, world.clock.now_ms(), value, f"k{late % 5}".encode())


def read_on(world: World, shard: Shard) -> None:
    """Let a live shard take all that its inputs hold."""
    assert shard.live is not None, shard.refusal
    for rank in RANKS:
        at = shard.live.processor.positions[rank]
        records = [record for record in world.inputs[rank] if record.offset >= at]
        if records:
            shard.live.offer(rank, records)
        shard.live.merge.end(rank, world.end(rank))
    world.settle(shard)
    assert shard.live is not None, shard.refusal


def lived(app: Application) -> tuple[World, Shard]:
    """A shard with a past: a snapshot on the way, waiting rows, and inputs that it has not read."""
    world = World(app)
    shard = world.shard()
    for n in range(BEFORE):
        send(world, n)
        if n % 10 == 9:
            read_on(world, shard)
        if n == BEFORE // 2:
            read_on(world, shard)
            assert shard.live is not None
            shard.live.leave()
    read_on(world, shard)
    for n in range(BEFORE, BEFORE + UNREAD):
        send(world, n)
    return world, shard


def back_up(world: World, folder: Path, end: int | None = None) -> Backed:
    """As the command does with one shard."""
    source = ClosedJournal(Source(world), len(world.journal) * STRIDE if end is None else end)
    found = state_at_end(world.past()._replace(source=source))
    kept = FileSnapshots(str(folder), "a", 0, [PRIVATE], world.app.modules, life_of(FINGERPRINT["topics"]))
    keep_state(world.app, found, FINGERPRINT, kept, "b1")
    ((header, load),) = kept.load()
    return Backed(0, "b1", header, load)


def elsewhere(world: World) -> World:
    """An empty place for the same application, at the same time of day."""
    other = World(world.app)
    other.topic_ids = dict(ELSEWHERE["topics"])
    other.clock.now_s = world.clock.now_s
    return other


def put(other: World, backed: Backed, journal_offset: int = 0) -> None:
    """Save the snapshot of a backup there."""
    place(other.app, backed, ELSEWHERE, [0, 0, 0], TOPICS, Store(other), journal_offset)


def enter(other: World, backed: Backed) -> int:
    """Open the epoch there."""
    writer = Writer(other)
    writer.fence()
    return journal_epoch(0, backed.epoch_record(ELSEWHERE, [0, 0, 0]), writer, Source(other))


def unread(world: World, other: World, positions: list[int]) -> None:
    """Write what no batch had read."""
    for rank in RANKS:
        left = [record for record in world.inputs[rank] if record.offset >= positions[rank]]
        other.inputs[rank] += [
            Record(rank, at, one.time_ms, one.key, one.value, one.headers) for at, one in enumerate(left)
        ]


def restored(world: World, folder: Path) -> tuple[World, Shard]:
    """A place that a backup was restored into, and its learner."""
    backed, other = back_up(world, folder), elsewhere(world)
    put(other, backed)
    unread(world, other, backed.header["positions"])
    enter(other, backed)
    shard = other.shard(ELSEWHERE)
    read_on(other, shard)
    return other, shard


def served(world: World) -> dict[str, Any]:
    """Predictions by event, without what names a place in a topic."""
    found = [orjson.loads(value) for value in world.predictions]
    return {one["event_id"]: {**one, "offset": None} for one in found}


@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
def test_a_restored_shard_serves_what_one_serves_that_never_stopped(app: Application, tmp_path: Path) -> None:
    """Unread and later events, through a drift: all fields but the offset are equal, and none comes twice."""
    world, shard = lived(app)
    other, twin = restored(world, tmp_path)
    read_on(world, shard)
    for n in range(BEFORE + UNREAD, BEFORE + UNREAD + AFTER):
        for each, live in ((world, shard), (other, twin)):
            send(each, n)
            if n % 5 == 4:
                read_on(each, live)
    new = {event: one for event, one in served(world).items() if int(event[1:]) >= BEFORE}
    assert served(other) == new
    assert len(other.predictions) == len(new) == UNREAD + AFTER
    assert shard.live is not None
    assert twin.live is not None
    one, two = (live.processor.core.state for live in (shard.live, twin.live))
    assert one.counters.as_dict() == two.counters.as_dict()
    assert one.counters.labels_learned == len(world.inputs[LABEL])
    assert one.counters.drifts
    assert [slot.version for slot in one.slots] == [slot.version for slot in two.slots]
    assert two.type_from == {name: at - BEFORE for name, at in one.type_from.items()}


def test_what_came_before_a_backup_is_known_after_it(tmp_path: Path) -> None:
    """Events and labels that are sent again are counted as repeats: none is predicted or learned again."""
    world, _ = lived(APPS["features"])
    other, shard = restored(world, tmp_path)
    assert shard.live is not None
    state = shard.live.processor.core.state
    learned, made = state.counters.labels_learned, len(other.predictions)
    for rank in (EVENT, LABEL):
        for record in world.inputs[rank][:50]:
            other.inputs[rank].append(
                Record(rank, other.end(rank), other.clock.now_ms(), record.key, record.value)
            )
    read_on(other, shard)
    assert (state.counters.labels_learned, len(other.predictions)) == (learned, made)
    assert (state.counters.duplicate_events, state.counters.duplicate_labels) == (50, 50)


def test_a_backup_takes_the_journal_as_it_ended_when_it_began(tmp_path: Path) -> None:
    """A learner that runs on commits and saves behind that end; it is not fenced, and nothing is written."""
    world, shard = lived(APPS["features"])
    assert shard.live is not None
    end, at = len(world.journal) * STRIDE, state_digest(shard.live.processor.core.state)
    read_on(world, shard)
    shard.live.leave()
    owner, journal = world.owner, list(world.journal)
    backed = back_up(world, tmp_path, end)
    assert state_digest(backed.load()["state"]) == at
    assert backed.header["journal_offset"] == end - STRIDE
    assert (world.owner, world.journal) == (owner, journal)
    send(world, BEFORE + UNREAD)
    read_on(world, shard)
    assert shard.phase is Phase.LIVE


def test_no_learner_takes_a_shard_that_is_restored_in_part(tmp_path: Path) -> None:
    """Cut off before the epoch is open it halts and names the command; afterwards it goes on."""
    world, _ = lived(APPS["features"])
    backed, other = back_up(world, tmp_path), elsewhere(world)
    put(other, backed)
    unread(world, other, backed.header["positions"])
    halted = other.shard(ELSEWHERE)
    assert halted.phase is Phase.HALTED
    assert halted.refusal is not None
    assert "its journal is empty" in halted.refusal.message
    assert "`stream-app restore`" in halted.refusal.remedy
    assert other.journal == []
    enter(other, backed)
    shard = other.shard(ELSEWHERE)
    read_on(other, shard)
    assert len(other.predictions) == UNREAD


def test_a_restore_finds_what_an_earlier_call_has_done(tmp_path: Path) -> None:
    """A snapshot that leads to another offset is saved again; the epoch of another backup is refused."""
    world, _ = lived(APPS["features"])
    backed, other = back_up(world, tmp_path), elsewhere(world)
    life = life_of(ELSEWHERE["topics"])
    assert not is_placed(Store(other), backed, life)
    put(other, backed, journal_offset=40)  # an attempt was aborted meanwhile
    assert is_placed(Store(other), backed, life)
    assert drain(has_entered(Source(other), backed)) is None
    offset = enter(other, backed)
    assert not is_placed(Store(other), backed, life, offset)
    put(other, backed, offset)
    assert is_placed(Store(other), backed, life, offset)
    assert drain(has_entered(Source(other), backed)) == offset
    assert other.shard(ELSEWHERE).phase is Phase.LIVE
    another = Backed(0, "b2", backed.header, backed.load)
    with pytest.raises(Refused, match="does not begin with this backup"):
        drain(has_entered(Source(other), another))
    with pytest.raises(Refused, match="not of this backup"):
        is_placed(Store(other), another, life)


def test_another_definition_is_refused_by_name() -> None:
    """Other topics are not: they are what a restore is for."""
    recorded = {"sources": {"a.py": "0"}, **FINGERPRINT, "python": "3.11"}
    check_same_definition(recorded, {**recorded, "topics": {}})
    with pytest.raises(Refused, match=r"a\.py changed, Python 3\.11 → 3\.12") as refused:
        check_same_definition(recorded, {**recorded, "python": "3.12", "sources": {"a.py": "1"}})
    assert "then run `stream-app upgrade" in refused.value.remedy


def test_inputs_are_written_on_from_where_a_restore_was_cut_off() -> None:
    """The first of them may be there; anything else is refused."""
    kept = [Record(EVENT, 10 + n, n, b"k", b"%d" % n, [("h", b"x")] if n else None) for n in range(4)]
    there = [
        Record(EVENT, n, max(1, one.time_ms), one.key, one.value, one.headers) for n, one in enumerate(kept)
    ]
    for n in range(5):
        assert list(left_to_write("a.events[0]", there[:n], iter(kept))) == kept[n:]
    for wrong in ([there[1]], [*there, there[0]]):
        with pytest.raises(Refused, match=r"a\.events\[0\] holds records that are not of this backup"):
            left_to_write("a.events[0]", wrong, iter(kept))


def test_receipts_of_later_batches_are_left_out() -> None:
    """Of each key the newest that the state knows of, in the order in which they were written."""

    def receipt(offset: int, key: bytes, seq: int | None) -> Record:
        made = {} if seq is None else {"fingerprint": {"epoch": 0, "seq": seq}}
        return Record(-1, offset, 1, key, orjson.dumps({"v": 1, **made}))

    written = [
        receipt(0, b"0/1", 1),
        receipt(1, b"0/2", 1),
        receipt(2, b"0/1", 5),
        receipt(3, b"0/command/c", None),
        receipt(4, b"0/2", 6),
        Record(-1, 5, 1, b"0/3", None),
        Record(-1, 6, 1, b"0/4", b"no JSON"),
    ]
    assert [record.offset for record in newest_receipts(written, 5)] == [1, 2, 3, 6]


def test_headers_that_no_client_can_write_again_are_refused_again() -> None:
    """The name of one is not UTF-8."""
    record = writable(Record(EVENT, 0, 1, b"k", b"{}", UNREADABLE))
    assert record.headers is not UNREADABLE
    assert check_headers(record.headers) is not None
