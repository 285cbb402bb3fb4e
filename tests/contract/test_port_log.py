"""The contract of `InputLog`, for the fake and for Kafka."""

from __future__ import annotations

import pytest

from stream_app.ports import Polled
from tests.contract.port_bench import Bench, polled
from topics.envelope import COMMAND, EVENT, LABEL, RANKS


@pytest.fixture
def fed(bench: Bench) -> Bench:
    """A shard whose inputs hold three records and a control record each."""
    for rank in RANKS:
        bench.write(rank, 3)
    return bench


def at_ends(found: Polled) -> bool:
    """Whether every input reported its end."""
    return len(found.ends) == len(RANKS)


def offsets(found: Polled) -> dict[int, list[int]]:
    """By rank, the offsets that came."""
    return {rank: [record.offset for record in records] for (_, rank), records in found.records.items()}


def test_inputs_are_read_from_the_given_positions_to_their_ends(fed: Bench) -> None:
    """Every record from there on comes once, and the end's position is past the control record."""
    log = fed.log()
    log.start(0, [0, 1, 4])
    found = polled(log, at_ends)
    assert offsets(found) == {COMMAND: [0, 1, 2], EVENT: [1, 2]}
    assert found.ends == {(0, rank): 4 for rank in RANKS}
    assert log.ends(0) == [4, 4, 4]


def test_what_an_aborted_transaction_wrote_is_passed(fed: Bench) -> None:
    """Its records never come; the next one's offset is behind them."""
    fed.write(EVENT, 2, commit=False)
    fed.write(EVENT, 1)
    log = fed.log()
    log.start(0, [4, 0, 4])
    found = polled(log, at_ends)
    assert offsets(found) == {EVENT: [0, 1, 2, 7]}
    assert found.ends[0, EVENT] == 9


def test_an_end_is_reported_again_after_new_records(fed: Bench) -> None:
    """An input that goes on after its end has another one."""
    log = fed.log()
    log.start(0, [4, 4, 4])
    polled(log, at_ends)
    fed.write(LABEL, 1)
    found = polled(log, lambda found: (0, LABEL) in found.ends)
    assert (offsets(found), found.ends) == ({LABEL: [4]}, {(0, LABEL): 6})


def test_a_paused_input_waits_where_it_is(fed: Bench) -> None:
    """Nothing of it comes while the others go on; resumed, it misses and repeats nothing."""
    log = fed.log()
    log.start(0, [4, 4, 4])
    polled(log, at_ends)
    log.pause(0, EVENT)
    for rank in RANKS:
        fed.write(rank, 2)
    found = polled(log, lambda found: len(found.ends) == 2)
    assert offsets(found) == {COMMAND: [4, 5], LABEL: [4, 5]}
    log.resume(0, EVENT)
    found = polled(log, lambda found: (0, EVENT) in found.ends)
    assert offsets(found) == {EVENT: [4, 5]}


def test_a_pause_ends_with_its_assignment(fed: Bench) -> None:
    """A shard that is started again reads all its inputs, whichever were paused when it stopped."""
    log = fed.log()
    log.start(0, [0, 0, 0])
    polled(log, at_ends)
    for rank in RANKS:
        log.pause(0, rank)
    log.stop(0)
    log.start(0, [0, 1, 2])
    found = polled(log, at_ends)
    assert offsets(found) == {COMMAND: [0, 1, 2], EVENT: [1, 2], LABEL: [2]}


def test_a_stopped_shard_is_not_read(fed: Bench) -> None:
    """Nothing of it comes after `stop`, though the member still owns it; to stop it twice is allowed."""
    log = fed.log()
    log.start(0, [0, 0, 0])
    for _ in range(2):
        log.stop(0)
    for _ in range(20):
        found = log.poll(100, 0.02)
        assert (found.records, found.ends, found.cut) == ({}, {}, {})


def test_a_position_that_is_no_longer_retained_is_a_cut(fed: Bench) -> None:
    """It is reported for that input, and what is left of it is not read on as if nothing were missing."""
    fed.cut("events", 2)
    log = fed.log()
    log.start(0, [0, 0, 0])
    found = polled(log, lambda found: bool(found.cut) and len(found.ends) == 2)
    assert set(found.cut) == {(0, EVENT)}
    assert EVENT not in offsets(found)


def test_a_member_has_a_generation(bench: Bench) -> None:
    """Commits are sent under it; the same one while nothing changes."""
    log = bench.log()
    assert log.group() is not None
    assert log.group() == log.group()
