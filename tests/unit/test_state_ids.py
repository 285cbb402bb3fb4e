"""What the deduplication window remembers, for how long, and at what size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.state.ids import BUCKETS, NO_LABEL, Ids

WINDOW_MS = 1_000


@given(st.lists(st.integers(0, 700), min_size=1, max_size=200))
def test_an_id_is_remembered_for_the_window_and_at_most_a_quarter_longer(gaps: list[int]) -> None:
    """While ids come, one is known through the whole window and unknown after five quarters of it."""
    ids, now, seen = Ids(WINDOW_MS, 1_000_000), 0, []
    for i, gap in enumerate(gaps):
        now += gap
        ids.add(f"e{i}", i, NO_LABEL, now)
        seen.append(now)
        for j, at in enumerate(seen):
            if now - at <= WINDOW_MS:
                assert ids.get(f"e{j}") == (j, NO_LABEL)
            elif now - at > WINDOW_MS * (BUCKETS + 1) // BUCKETS:
                assert ids.get(f"e{j}") is None


@given(st.integers(1, 300), st.integers(1, 1_000))
def test_memory_is_bounded_in_a_burst(limit: int, n: int) -> None:
    """However many ids come at once, no more than the limit stay; the newest is always among them."""
    ids = Ids(WINDOW_MS, limit)
    for i in range(n):
        ids.add(f"e{i}", i, NO_LABEL, 5)
        assert ids.get(f"e{i}") == (i, NO_LABEL)
        assert len(ids) <= max(limit, BUCKETS + 1)
    assert len(ids) + ids.evicted == n


def test_a_settled_label_stays_with_its_id_in_whatever_bucket() -> None:
    """The applied label is found again after the id's bucket was closed."""
    ids = Ids(WINDOW_MS, 100)
    ids.add("first", 1, NO_LABEL, 0)
    ids.add("second", 2, NO_LABEL, 600)
    ids.settle("first", True)
    ids.settle("unknown", True)
    assert (ids.get("first"), ids.get("second")) == ((1, True), (2, NO_LABEL))
    assert ids.get("unknown") is None


def test_a_long_silence_forgets_everything() -> None:
    """After a gap far beyond the window, only the new id is known."""
    ids = Ids(WINDOW_MS, 100)
    for i in range(10):
        ids.add(f"e{i}", i, NO_LABEL, 1_000 + 100 * i)
    ids.add("new", 99, NO_LABEL, 10**12)
    assert len(ids) == 1
    assert ids.get("e9") is None
