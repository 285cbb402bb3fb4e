"""The order rule against a plain sort, and how an order travels in the journal."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream_app.learner.batch.merge import Merge, pack_order, unpack_order
from topics.envelope import COMMAND, EVENT, LABEL, RANKS, Record

Inputs = list[list[int]]
INPUTS = st.lists(st.lists(st.integers(0, 20), max_size=30), min_size=3, max_size=3)


def records(rank: int, times: list[int]) -> list[Record]:
    """One input with these stamps, in order of offset."""
    return [Record(rank, offset, time_ms, None, None) for offset, time_ms in enumerate(times)]


def naive(inputs: Inputs, clock_ms: int) -> list[tuple[int, int]]:
    """The rule as one says it: ever again the head with the smallest (clamped time, rank)."""
    heads, order = [0, 0, 0], list[tuple[int, int]]()
    while any(heads[rank] < len(inputs[rank]) for rank in RANKS):
        time_ms, rank = min(
            (max(inputs[rank][heads[rank]], clock_ms), rank)
            for rank in RANKS
            if heads[rank] < len(inputs[rank])
        )
        clock_ms = time_ms
        order.append((rank, heads[rank]))
        heads[rank] += 1
    return order


def taken(merge: Merge, limit: int) -> list[tuple[int, int]]:
    """All that the merge gives, record by record."""
    order = []
    while runs := merge.next_runs(limit):
        assert sum(len(run) for _, run in runs) <= limit
        assert all(run for _, run in runs)
        order += [(rank, record.offset) for rank, run in runs for record in run]
    return order


@given(INPUTS, st.integers(0, 10), st.integers(1, 12))
def test_the_merged_order_is_that_of_the_rule(inputs: Inputs, clock_ms: int, limit: int) -> None:
    """For any stamps and any batch size the order is the rule's."""
    merge = Merge(clock_ms)
    for rank in RANKS:
        merge.offer(rank, records(rank, inputs[rank]))
        merge.end(rank, len(inputs[rank]))
    assert taken(merge, limit) == naive(inputs, clock_ms)
    assert merge.idle


@given(INPUTS, st.data())
def test_arrival_decides_nothing_while_no_input_is_quiet_too_early(
    inputs: Inputs, data: st.DataObject
) -> None:
    """However the inputs trickle in, records come out in the order of the rule: the merge waits for the
    unknown.
    """
    merge, order, sent = Merge(0), list[tuple[int, int]](), [0, 0, 0]
    while any(sent[rank] < len(inputs[rank]) for rank in RANKS):
        rank = data.draw(st.sampled_from([rank for rank in RANKS if sent[rank] < len(inputs[rank])]))
        n = data.draw(st.integers(1, len(inputs[rank]) - sent[rank]))
        merge.offer(rank, records(rank, inputs[rank])[sent[rank] : sent[rank] + n])
        sent[rank] += n
        order += taken(merge, data.draw(st.integers(1, 9)))
    for rank in RANKS:
        merge.end(rank, len(inputs[rank]))
        order += taken(merge, 5)
    assert order == naive(inputs, 0)


def test_an_input_that_is_not_quiet_is_waited_for() -> None:
    """Without news of the labels no event passes; with their end known, all do."""
    merge = Merge(0)
    merge.offer(EVENT, records(EVENT, [1, 2]))
    merge.end(COMMAND, 0)
    assert merge.next_runs(10) == []
    assert merge.waiting_for() == [LABEL]
    merge.end(LABEL, 0)
    assert merge.waiting_for() == []
    assert [len(run) for _, run in merge.next_runs(10)] == [2]
    assert not merge.idle, "the events may go on"
    merge.end(EVENT, 2)
    assert merge.idle


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=12), st.integers(0, 5))
def test_a_record_that_is_given_again_is_dropped(given_: list[tuple[int, int]], start: int) -> None:
    """Whatever stretches a client gives, each offset is taken once, in order, from the start on."""
    merge, offsets = Merge(0, [0, start, 0]), list[int]()
    expected = start
    for first, n in given_:
        stretch = [Record(EVENT, offset, 0, None, None) for offset in range(first, first + n)]
        fresh = [record.offset for record in stretch if record.offset >= expected]
        assert merge.offer(EVENT, stretch) == len(stretch) - len(fresh)
        offsets += fresh
        expected = max([expected, *(offset + 1 for offset in fresh)])
    assert [record.offset for record in merge.buffers[EVENT]] == offsets
    assert offsets == sorted(set(offsets))


def test_repeats_within_one_poll_are_dropped() -> None:
    """Also where newer records follow them."""
    merge = Merge(0)
    again = [Record(EVENT, offset, 0, None, None) for offset in (4, 5, 4, 5, 6)]
    assert merge.offer(EVENT, again) == 2
    assert [record.offset for record in merge.buffers[EVENT]] == [4, 5, 6]


def test_a_record_ends_the_quiet() -> None:
    """After new records an input is waited for again once they are used up."""
    merge = Merge(0)
    for rank in RANKS:
        merge.end(rank, 0)
    merge.offer(LABEL, records(LABEL, [1]))
    merge.offer(EVENT, records(EVENT, [1, 5]))
    assert [(rank, len(run)) for rank, run in merge.next_runs(10)] == [(EVENT, 1), (LABEL, 1)]
    assert merge.next_runs(10) == []
    assert merge.waiting_for() == [LABEL]


def test_at_one_time_a_command_precedes_an_event_and_an_event_a_label() -> None:
    """The rank breaks ties, and a stamp behind the clock counts as the clock."""
    merge = Merge(100)
    for rank, stamp in ((LABEL, 0), (EVENT, 50), (COMMAND, 100)):
        merge.offer(rank, records(rank, [stamp]))
        merge.end(rank, 1)
    assert taken(merge, 10) == [(COMMAND, 0), (EVENT, 0), (LABEL, 0)]


def test_the_position_passes_control_records_only_where_the_end_is_known() -> None:
    """A position is the head's offset, else the known end, else what was applied."""
    merge = Merge(0)
    assert merge.position(EVENT, 3) == 3
    merge.offer(EVENT, [Record(EVENT, 7, 1, None, None)])
    assert merge.position(EVENT, 3) == 7
    for rank in RANKS:
        merge.end(rank, 12)
    merge.next_runs(1)
    assert merge.position(EVENT, 8) == 12
    assert merge.position(EVENT, 15) == 15


@given(st.lists(st.tuples(st.sampled_from(RANKS), st.integers(1, 2_000)), max_size=50))
def test_an_order_survives_its_packing(runs: list[tuple[int, int]]) -> None:
    """Unpacking gives the same records in the same order, neighbours joined."""
    unpacked = unpack_order(pack_order(runs))
    assert [rank for rank, n in unpacked for _ in range(n)] == [rank for rank, n in runs for _ in range(n)]
    assert all(a[0] != b[0] for a, b in pairwise(unpacked))
