"""Hunts, swaps and probations are a matter of the records alone: not of batches, snapshots or the process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import orjson
import pytest

from drift.policy import Phase
from stream_app.adapters.pickled import dump
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Application, SwapPolicy
from stream_app.flow.core import Core
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.recovery.snapshots import state_digest
from stream_app.state.shard import ShardState
from tests.scenario.shard_driver import START_MS, TOPICS
from tests.scenario.swap_driver import bayes, definition
from topics.envelope import COMMAND, EVENT, LABEL, Record

EVENTS = 1_600
TURNS = 400  # events between turns of the concept
LATE = 30  # events until a label
RULE = SwapPolicy(min_labels=40, probation=200, cooldown=100, respawn=100, patience=400)


def app() -> Application:
    """A champion, a challenger, candidates of every kind."""
    return definition(challengers={"other": bayes}, swap=RULE)


def records() -> list[Record]:
    """Events, labels 30 events late, and orders; the concept turns over and over."""
    dice = random.Random(8)
    found: list[Record] = []
    offsets = [0, 0, 0]

    def put(rank: int, at: int, value: dict[str, object]) -> None:
        found.append(
            Record(rank, offsets[rank], START_MS + at, None if rank == COMMAND else b"k", orjson.dumps(value))
        )
        offsets[rank] += 1

    labels: list[bool] = []
    for n in range(EVENTS):
        x = dice.uniform(-1, 1)
        labels.append((x > 0) == (n // TURNS % 2 == 0))
        put(EVENT, n, {"event_id": f"e{n}", "features": {"x": x}})
        if n >= LATE:
            put(LABEL, n, {"event_id": f"e{n - LATE}", "label": labels[n - LATE]})
        if n in (900, 910):
            order = "promote" if n == 900 else "rollback"
            put(
                COMMAND,
                n,
                {"command_id": f"c{n}", "command": order, "slot": "other", "actor": "a", "reason": "r"},
            )
    return found


RECORDS = records()


def processor(
    state: ShardState, seq: int = 0, digest: str = FIRST_DIGEST, positions: tuple[int, ...] = (0, 0, 0)
) -> BatchProcessor:
    """A machine at this place of its chain."""
    return BatchProcessor(
        Core(app(), state), TOPICS, epoch=0, seq=seq, digest=digest, positions=list(positions)
    )


def cut(seed: int | None) -> Iterator[list[Record]]:
    """The records in batches: of one for None, else of random sizes."""
    rest, dice = iter(RECORDS), random.Random(seed)
    while batch := list(islice(rest, 1 if seed is None else dice.randint(1, 60))):
        yield batch


def play(one: BatchProcessor, batches: Iterator[list[Record]]) -> list[SealedBatch]:
    """Step and seal each batch, runs of one rank as the loop makes them."""
    closed = []
    for batch in batches:
        runs: list[tuple[int, list[Record]]] = []
        for record in batch:
            if runs and runs[-1][0] == record.rank:
                runs[-1][1].append(record)
            else:
                runs.append((record.rank, [record]))
        one.apply(runs)
        closed.append(one.seal())
    return closed


def said(closed: list[SealedBatch]) -> list[object]:
    """All that was written, without the batch that it was written in."""
    found: list[object] = []
    for one in closed:
        found += [value for value, _, _ in one.commit.predictions]
        for send in one.commit.others:
            value = orjson.loads(send.value or b"")
            value.pop("fingerprint", None)
            found.append((send.topic, send.key, value))
    return found


def by_topic(found: list[object]) -> list[object]:
    """Predictions first: within a batch they are collected apart."""
    return [one for one in found if isinstance(one, bytes)] + [
        one for one in found if not isinstance(one, bytes)
    ]


@pytest.fixture(scope="module")
def lived() -> tuple[BatchProcessor, list[SealedBatch]]:
    """The records, one in each batch."""
    one = processor(ShardState(app(), 0))
    return one, play(one, cut(None))


def test_the_scene_has_all_that_is_to_be_replayed(lived: tuple[BatchProcessor, list[SealedBatch]]) -> None:
    """Several swaps, several hunts, candidates of every kind, and the operator's."""
    one, closed = lived
    text = str(said(closed))
    assert one.core.state.counters.swaps >= 4
    assert one.core.state.policy.hunt >= 4
    for kind in ("fresh", "warm", "kept"):
        assert f"{kind} candidate" in text
    assert one.core.state.commands == {"c900": "done", "c910": "done"}


def test_the_same_batches_give_the_same_digest(lived: tuple[BatchProcessor, list[SealedBatch]]) -> None:
    """A second machine says the same bytes and remembers the same."""
    one, closed = lived
    again = processor(ShardState(app(), 0))
    assert play(again, cut(None)) == closed
    assert again.digest == one.digest
    assert state_digest(again.core.state) == state_digest(one.core.state)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_how_records_are_cut_into_batches_decides_nothing(
    lived: tuple[BatchProcessor, list[SealedBatch]], seed: int
) -> None:
    """Candidates are born, win and go with the same records, under the same versions, in the same state."""
    one, closed = lived
    other = processor(ShardState(app(), 0))
    found = play(other, cut(seed))
    assert by_topic(said(found)) == by_topic(said(closed))
    assert state_digest(other.core.state) == state_digest(one.core.state)


@pytest.mark.parametrize("phase", [Phase.HUNTING, Phase.PROBATION])
@pytest.mark.parametrize("labels", [1, 17])
def test_a_snapshot_in_the_middle_of_a_search_goes_on_as_if_it_had_not_been(
    lived: tuple[BatchProcessor, list[SealedBatch]], phase: Phase, labels: int
) -> None:
    """Races, gamblers and the champion of before come back: every later digest is the same."""
    first = processor(ShardState(app(), 0))
    batches = cut(None)
    policy = first.core.state.policy
    while first.seq < len(RECORDS) and not (policy.phase is phase and policy.races):
        play(first, islice(batches, 1))
    play(first, islice(batches, 2 * labels))
    assert policy.phase is phase
    assert policy.races
    stored = unpickle(dump(first.core.state), app().modules)
    second = processor(stored, first.seq, first.digest, tuple(first.positions))
    assert state_digest(second.core.state) == state_digest(first.core.state)
    rest = list(batches)
    assert len(rest) > 500
    for batch in rest:
        play(first, iter([batch]))
        play(second, iter([batch]))
        assert second.digest == first.digest
    assert second.digest == lived[0].digest
    assert state_digest(second.core.state) == state_digest(first.core.state)


def test_records_stepped_together_decide_what_each_decides_alone() -> None:
    """Labels inside their events make runs of thousands; each receipt tells the time of its own record."""
    dice = random.Random(8)
    together: list[Record] = []
    for n in range(EVENTS):
        x = dice.uniform(-1, 1)
        label = (x > 0) == (n // TURNS % 2 == 0)
        value = orjson.dumps({"event_id": f"e{n}", "features": {"x": x}, "label": label})
        together.append(Record(EVENT, n, START_MS + n, b"k", value))
    one, other = processor(ShardState(app(), 0)), processor(ShardState(app(), 0))
    found = said(play(one, iter([together])))
    assert one.core.state.counters.swaps >= 2
    assert by_topic(said(play(other, ([record] for record in together)))) == found
