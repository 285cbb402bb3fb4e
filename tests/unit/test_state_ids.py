"""What the deduplication window remembers, for how long, and at what size."""

from __future__ import annotations

import pickle
from typing import Any

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
    ids, first = Ids(WINDOW_MS, limit), 0
    for i in range(n):
        first += ids.add(f"e{i}", i, NO_LABEL, 5)
        assert ids.get(f"e{i}") == (i, NO_LABEL)
        assert len(ids) <= max(limit, BUCKETS + 1)
    assert len(ids) + ids.evicted == n
    assert first == (ids.evicted > 0)


def test_a_settled_label_stays_with_its_id_in_whatever_bucket() -> None:
    """The applied label is found again after the id's bucket was closed."""
    ids = Ids(WINDOW_MS, 100)
    ids.add("first", 1, NO_LABEL, 0)
    ids.add("second", 2, NO_LABEL, 600)
    ids.set_label("first", True)
    ids.set_label("unknown", True)
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


LABELS = st.one_of(
    st.none(), st.booleans(), st.text(), st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False)
)


@given(st.lists(st.tuples(st.integers(0, 700), LABELS), max_size=100))
def test_ids_come_back_from_a_snapshot(added: list[tuple[int, Any]]) -> None:
    """The restored ones know the same ids and labels, of the same types, and forget them when these do."""
    ids, now = Ids(WINDOW_MS, 60), 0
    for i, (gap, label) in enumerate(added):
        now += gap
        ids.add(f"e{i}", i, label, now)
    back = pickle.loads(pickle.dumps(ids))
    for step_ms in (0, 300, 600, 2_000):
        now += step_ms
        for one in (ids, back):
            one.add(f"at {now} {step_ms}", 0, NO_LABEL, now)
        assert (len(back), back.evicted) == (len(ids), ids.evicted)
        for i in range(len(added)):
            assert repr(back.get(f"e{i}")) == repr(ids.get(f"e{i}"))
