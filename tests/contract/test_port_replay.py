"""The contract of `ReplaySource`, for the fake and for Kafka."""

from __future__ import annotations

import pytest

from stream_app.errors import Halted, StaleGroup
from stream_app.ports import Commit, ReplaySource
from tests.contract.port_bench import Bench, taken
from topics.envelope import COMMAND, EVENT, LABEL, RANKS

MANY = 2_500  # more than the client hands out at a time


@pytest.fixture
def fed(bench: Bench) -> Bench:
    """A shard whose inputs hold many records and a control record each."""
    for rank in RANKS:
        bench.write(rank, MANY)
    return bench


def test_nothing_of_a_replay_outlives_it(fed: Bench) -> None:
    """A second replay reads all again, though the first left every input paused with a full buffer."""
    source = fed.source(buffer_high=10)
    for _ in range(3):
        source.inputs([0, 0, 0])
        for rank in RANKS:
            assert [record.offset for record in taken(source, rank, 20, 20)] == list(range(20))
    source.inputs([0, MANY, 0])
    assert taken(source, EVENT, 0, MANY + 1) == []


def test_a_batch_may_hold_more_than_is_read_ahead(fed: Bench) -> None:
    """An input that was paused far below what a batch read of it is read on."""
    source = fed.source(buffer_high=10)
    source.inputs([0, 0, 0])
    for rank in RANKS:
        assert len(taken(source, rank, MANY, MANY + 1)) == MANY


def test_an_input_that_ends_too_soon_halts(fed: Bench) -> None:
    """Records that the journal read and the topic no longer ends with are not waited for."""
    source = fed.source()
    source.inputs([0, 0, 0])
    assert len(taken(source, EVENT, MANY, MANY + 1)) == MANY
    with pytest.raises(Halted, match=f"ends at {MANY + 1}"):
        taken(source, LABEL, MANY + 9, MANY + 10)


def test_the_newest_prediction_is_a_committed_one(bench: Bench) -> None:
    """However many control and aborted records follow it; None while there is none."""
    source = bench.source()
    assert source.predicted() is None
    writer = bench.writer()
    writer.fence()
    for value in (b'{"offset": 1}', b'{"offset": 2}'):
        writer.commit(Commit([(value, "k", 1)], [], b"{}", [0, 0, 0]), None)
    stale = bench.other_generation()
    for _ in range(40):  # each leaves a record and the marker of its end: more than one look back
        with pytest.raises(StaleGroup):
            writer.commit(Commit([(b'{"offset": 9}', "k", 1)], [], b"{}", [0, 0, 0]), stale)
    assert source.predicted() == 2


def test_records_that_the_journal_did_not_read_halt(fed: Bench) -> None:
    """More or fewer of them below the position that it names: the input was changed."""
    source = fed.source()
    for n in (4, 6):
        source.inputs([0, 0, 0])
        with pytest.raises(Halted, match="has 5 records below 5"):
            taken(source, EVENT, n, 5)


def test_aborted_records_are_passed_by_their_position(bench: Bench) -> None:
    """A batch's position lies behind them, and nothing of them is taken."""
    bench.write(COMMAND, 2, commit=False)
    bench.write(COMMAND, 1)
    source = bench.source()
    source.inputs([0, 0, 0])
    assert [record.offset for record in taken(source, COMMAND, 1, 5)] == [3]
    assert taken(source, COMMAND, 0, 5) == []


def journaled(source: ReplaySource, start: int) -> list[tuple[int, bytes]]:
    """The journal from an offset to its end."""
    return [(entry.offset, entry.value) for entry in source.journal(start) if entry is not None]


def test_the_journal_is_read_to_its_end_as_often_as_asked(bench: Bench) -> None:
    """From the earliest, from an offset, from behind the end; a reading may be given up."""
    source, writer = bench.source(), bench.writer()
    assert journaled(source, -1) == []
    writer.fence()
    at = [writer.commit(Commit([], [], name, [0, 0, 0]), None) for name in (b"1", b"2", b"3")]
    assert at == [0, 2, 4]  # each is followed by a control record
    whole = [(0, b"1"), (2, b"2"), (4, b"3")]
    for _ in range(2):
        assert next(entry for entry in source.journal(0) if entry is not None).value == b"1"
        assert journaled(source, -1) == whole
        assert journaled(source, 1) == journaled(source, 2) == whole[1:]
        assert journaled(source, 5) == []
    bench.cut("journal", 2)
    assert journaled(source, -1) == whole[1:]
    with pytest.raises(Halted, match="no longer retains"):
        journaled(source, 0)


def test_positions_are_told_as_the_broker_keeps_them(bench: Bench) -> None:
    """Committed ones only of a transaction that had the group's generation; earliest ones after a cut."""
    source, writer, log = bench.source(), bench.writer(), bench.log()
    writer.fence()
    writer.commit(Commit([], [], b"{}", [7, 8, 9]), None)
    assert source.committed() == [None, None, None]
    with pytest.raises(StaleGroup):
        writer.commit(Commit([], [], b"{}", [7, 8, 9]), bench.other_generation())
    assert source.committed() == [None, None, None]
    writer.commit(Commit([], [], b"{}", [4, 5, 6]), log.group())
    assert source.committed() == [4, 5, 6]
    bench.write(LABEL, 3)
    bench.cut("labels", 2)
    assert source.earliest() == [0, 0, 2]


def test_offsets_of_an_earlier_life_do_not_count(bench: Bench) -> None:
    """A learner that outlived its topics committed them: a reader of the next life is told none."""
    writer, log = bench.writer("earlier"), bench.log()
    writer.fence()
    writer.commit(Commit([], [], b"{}", [4, 5, 6]), log.group())
    assert bench.source(life="earlier").committed() == [4, 5, 6]
    assert bench.source(life="later").committed() == [None, None, None]
    assert bench.source().committed() == [4, 5, 6]  # who names no life is told what there is
    unnamed = bench.writer()
    unnamed.fence()
    unnamed.commit(Commit([], [], b"{}", [5, 6, 7]), log.group())  # as earlier versions commit
    assert bench.source(life="later").committed() == [5, 6, 7]
