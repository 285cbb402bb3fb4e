"""What waits for its other half: in order, bounded, and at a constant cost."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.state.pending import SLACK, PendingRow, Waiting


def row(time_ms: int) -> PendingRow:
    """A row of that time; nothing else matters here."""
    return PendingRow("k", time_ms, 0, {}, {}, None)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(0, 200)), max_size=200))
def test_rows_expire_in_order_of_time_as_in_a_plain_list(moves: list[tuple[int, bool, int]]) -> None:
    """After any puts and takes, exactly the rows before the bound expire, oldest first."""
    waiting: Waiting[PendingRow] = Waiting(1_000, 1)
    plain: list[tuple[int, str]] = []
    now = 0
    for i, (gap, takes, back) in enumerate(moves):
        now += gap
        waiting.put(f"e{i}", row(now))
        plain.append((now, f"e{i}"))
        if takes:
            _, taken = plain.pop(back % len(plain))
            assert waiting.pop(taken) is not None
            assert waiting.pop(taken) is None
        bound = now - back
        while (found := waiting.expired(bound)) is not None:
            assert plain.pop(0) == (found[1].time_ms, found[0])
        assert all(time_ms >= bound for time_ms, _ in plain)
        oldest = waiting.oldest()
        assert (oldest and oldest[0]) == (plain[0][1] if plain else None)
        assert len(waiting) == len(plain)


class Counting(dict[str, Any]):
    """A dictionary that counts how often it is read, walks included."""

    reads = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counting.reads += 1
        return super().get(key, default)

    def items(self) -> Any:
        Counting.reads += len(self)
        return super().items()


def test_a_long_run_costs_a_constant_number_of_operations_a_row() -> None:
    """100,000 rows, most of them taken, the rest expired: a few reads a row and a short queue."""
    n, horizon = 100_000, 500
    waiting: Waiting[PendingRow] = Waiting(n, 1)
    waiting.items = Counting()
    Counting.reads = expired = longest = 0
    for i in range(n):
        waiting.put(f"e{i}", row(i))
        if i % 10 and i >= 100:
            waiting.pop(f"e{i - 100}")
        while waiting.expired(i - horizon) is not None:
            expired += 1
        longest = max(longest, len(waiting.queue))
    assert expired > 0
    assert Counting.reads < 4 * n
    assert longest <= 2 * horizon + SLACK + 1


def test_full_tells_the_bound() -> None:
    """`full` is exact at the limit and false again after one was taken."""
    waiting: Waiting[PendingRow] = Waiting(2, 1)
    waiting.put("a", row(1))
    fullness = [waiting.full(0)]
    waiting.put("b", row(2))
    fullness.append(waiting.full(0))
    waiting.pop("a")
    waiting.pop("a")
    assert [*fullness, waiting.full(0)] == [False, True, False]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9), st.integers(0, 9)), max_size=60))
def test_full_tells_the_bytes_of_what_is_there(moves: list[tuple[str, int, int]]) -> None:
    """Puts, takes and expiries keep the sum; one item alone always has room."""
    waiting: Waiting[PendingRow] = Waiting(1_000, 20)
    for now, (item_id, size, back) in enumerate(moves):
        if waiting.pop(item_id) is None:
            there = sum(item.size for item in waiting.items.values())
            assert waiting.full(size) == (len(waiting) > 0 and there + size > 20)
            waiting.put(item_id, PendingRow("k", now, 0, {}, {}, None, size))
        if not back:
            waiting.expired(now - 5)
    assert waiting.n_bytes == sum(item.size for item in waiting.items.values())
