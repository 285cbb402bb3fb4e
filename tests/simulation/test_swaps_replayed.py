"""Hunts, swaps and probations are a matter of the records alone: not of batches, snapshots or the process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

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
from tests.bayes import bayes
from tests.scenario.shard_driver import START_MS, TOPICS
from tests.scenario.swap_driver import definition
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


class Taken(NamedTuple):
    """A snapshot in the middle of a search, and what its machine remembered."""

    payload: bytes
    remembered: str
    phase: Phase
    races: int
    seq: int
    digest: str
    positions: tuple[int, ...]


class Lived(NamedTuple):
    """A machine at the end of its records, all that it sealed, and snapshots by phase and labels since."""

    machine: BatchProcessor
    closed: list[SealedBatch]
    taken: dict[tuple[Phase, int], Taken]


PHASES = (Phase.HUNTING, Phase.PROBATION)
SINCE = (1, 17)  # labels from the first row at which a race is open in that phase to the snapshot


@pytest.fixture(scope="module")
def lived() -> Lived:
    """The records, one in each batch."""
    one = processor(ShardState(app(), 0))
    closed: list[SealedBatch] = []
    due: dict[int, tuple[Phase, int]] = {}
    taken: dict[tuple[Phase, int], Taken] = {}
    policy = one.core.state.policy
    for batch in cut(None):
        closed += play(one, iter([batch]))
        if policy.races and policy.phase in PHASES and (policy.phase, SINCE[0]) not in due.values():
            due.update({one.seq + 2 * labels: (policy.phase, labels) for labels in SINCE})
        if one.seq in due:
            taken[due[one.seq]] = Taken(
                dump(one.core.state),
                state_digest(one.core.state),
                policy.phase,
                len(policy.races),
                one.seq,
                one.digest,
                tuple(one.positions),
            )
    return Lived(one, closed, taken)


def test_the_scene_has_all_that_is_to_be_replayed(lived: Lived) -> None:
    """Several swaps, several hunts, candidates of every kind, and the operator's."""
    state = lived.machine.core.state
    text = str(said(lived.closed))
    assert state.counters.swaps >= 4
    assert state.policy.hunt >= 4
    for kind in ("fresh", "warm", "kept"):
        assert f"{kind} candidate" in text
    assert state.commands == {"c900": "done", "c910": "done"}


def test_the_same_batches_give_the_same_digest(lived: Lived) -> None:
    """A second machine, of which no snapshot is taken, says the same bytes and remembers the same."""
    again = processor(ShardState(app(), 0))
    assert play(again, cut(None)) == lived.closed
    assert again.digest == lived.machine.digest
    assert state_digest(again.core.state) == state_digest(lived.machine.core.state)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_how_records_are_cut_into_batches_decides_nothing(lived: Lived, seed: int) -> None:
    """Candidates are born, win and go with the same records, under the same versions, in the same state."""
    other = processor(ShardState(app(), 0))
    found = play(other, cut(seed))
    assert by_topic(said(found)) == by_topic(said(lived.closed))
    assert state_digest(other.core.state) == state_digest(lived.machine.core.state)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("labels", SINCE)
def test_a_snapshot_in_the_middle_of_a_search_goes_on_as_if_it_had_not_been(
    lived: Lived, phase: Phase, labels: int
) -> None:
    """Races, gamblers and the earlier champion come back: every later batch is the same."""
    taken = lived.taken[phase, labels]
    assert taken.phase is phase
    assert taken.races
    stored = unpickle(taken.payload, app().modules)
    second = processor(stored, taken.seq, taken.digest, taken.positions)
    assert state_digest(second.core.state) == taken.remembered
    assert len(RECORDS) - taken.seq > 500
    for record, closed in zip(RECORDS[taken.seq :], lived.closed[taken.seq :], strict=True):
        assert play(second, iter([[record]])) == [closed]
    assert second.digest == lived.machine.digest
    assert state_digest(second.core.state) == state_digest(lived.machine.core.state)


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
