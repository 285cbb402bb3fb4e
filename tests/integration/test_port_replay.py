"""The contract of `ReplaySource`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream_app.embedded.services import Endpoints
from stream_app.errors import Halted, StaleGroup
from stream_app.ports import Commit
from tests.integration.port_bench import KafkaBench, taken
from topics.envelope import EVENT, LABEL, RANKS

MANY = 2_500  # more than the client hands out at a time


@pytest.fixture
def bench(services: Endpoints) -> Iterator[KafkaBench]:
    """A shard whose inputs hold many records and a control record each."""
    bench = KafkaBench(services.bootstrap_servers)
    for rank in RANKS:
        bench.write(rank, MANY)
    yield bench
    bench.close()


def test_nothing_of_a_replay_outlives_it(bench: KafkaBench) -> None:
    """A second replay reads all again, though the first left every input paused with a full buffer."""
    source = bench.source(buffer_high=10)
    for _ in range(3):
        source.inputs([0, 0, 0])
        for rank in RANKS:
            assert [record.offset for record in taken(source, rank, 20, 20)] == list(range(20))
    source.inputs([0, MANY, 0])
    assert taken(source, EVENT, 0, MANY + 1) == []


def test_a_batch_may_hold_more_than_is_read_ahead(bench: KafkaBench) -> None:
    """An input that was paused far below what a batch read of it is read on."""
    source = bench.source(buffer_high=10)
    source.inputs([0, 0, 0])
    for rank in RANKS:
        assert len(taken(source, rank, MANY, MANY + 1)) == MANY


def test_an_input_that_ends_too_soon_halts(bench: KafkaBench) -> None:
    """Records that the journal read and the topic no longer ends with are not waited for."""
    source = bench.source()
    source.inputs([0, 0, 0])
    assert len(taken(source, EVENT, MANY, MANY + 1)) == MANY
    with pytest.raises(Halted, match=f"ends at {MANY + 1}, the journal read to {MANY + 10}"):
        taken(source, LABEL, MANY + 9, MANY + 10)


def test_the_newest_prediction_is_a_committed_one(bench: KafkaBench) -> None:
    """However many control and aborted records follow it; None while there is none."""
    source = bench.source()
    assert source.newest_prediction() is None
    writer = bench.writer()
    writer.fence()
    for name in (b"first", b"newest"):
        writer.commit(Commit([(name, "k", 1)], [], b"{}", [0, 0, 0]), None)
    stale = bench.other_generation()
    for _ in range(40):  # each leaves a record and the marker of its end: more than one look back
        with pytest.raises(StaleGroup):
            writer.commit(Commit([(b"aborted", "k", 1)], [], b"{}", [0, 0, 0]), stale)
    assert source.newest_prediction() == b"newest"
