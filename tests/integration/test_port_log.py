"""The contract of `InputLog`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream_app.embedded.services import Endpoints
from stream_app.ports import Polled
from tests.integration.port_bench import KafkaBench, polled
from topics.envelope import COMMAND, EVENT, LABEL, RANKS


@pytest.fixture
def bench(services: Endpoints) -> Iterator[KafkaBench]:
    """A shard whose inputs hold three records and a control record each."""
    bench = KafkaBench(services.bootstrap_servers)
    for rank in RANKS:
        bench.write(rank, 3)
    yield bench
    bench.close()


def at_ends(found: Polled) -> bool:
    """Whether every input reported its end."""
    return len(found.ends) == len(RANKS)


def offsets(found: Polled) -> dict[int, list[int]]:
    """By rank, the offsets that came."""
    return {rank: [record.offset for record in records] for (_, rank), records in found.records.items()}


def test_inputs_are_read_from_the_given_positions_to_their_ends(bench: KafkaBench) -> None:
    """Every record from there on comes once, and the end's position is past the control record."""
    log = bench.log()
    log.start(0, [0, 1, 4])
    found = polled(log, at_ends)
    assert offsets(found) == {COMMAND: [0, 1, 2], EVENT: [1, 2]}
    assert found.ends == {(0, rank): 4 for rank in RANKS}


def test_a_pause_ends_with_its_assignment(bench: KafkaBench) -> None:
    """A shard that is started again reads all its inputs, whichever were paused when it stopped."""
    log = bench.log()
    log.start(0, [0, 0, 0])
    polled(log, at_ends)
    for rank in RANKS:
        log.pause(0, rank)
    log.stop(0)
    log.start(0, [0, 1, 2])
    found = polled(log, at_ends)
    assert offsets(found) == {COMMAND: [0, 1, 2], EVENT: [1, 2], LABEL: [2]}
