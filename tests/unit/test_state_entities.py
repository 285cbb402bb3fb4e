"""How long an entity is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.state.entities import Entities

TTL_MS = 100


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 5)), min_size=1, max_size=150))
def test_reads_are_exact_to_the_time_to_live(visits: list[tuple[int, int]]) -> None:
    """An entity reads as known iff its last event is at most the time to live ago."""
    entities, last, now = Entities(TTL_MS), dict[str, int](), 1_700_000_000_000
    for gap, number in visits:
        now += gap
        key = f"k{number}"
        entity = entities.get(key, now)
        known = key in last and now - last[key] <= TTL_MS
        assert (entity is not None) == known
        if entity is None:
            entities.add(key, [now, 0, []])
        else:
            assert entity[0] == last[key]
            entity[0] = now
        last[key] = now
        assert len(entities.keys()) == len(set(entities.keys())) == len(entities)


def test_the_memory_of_idle_entities_is_freed() -> None:
    """After twice the time to live nothing of an idle crowd is held, though nobody asked for it."""
    entities = Entities(TTL_MS)
    for i in range(1_000):
        entities.get(f"k{i}", 1_000)
        entities.add(f"k{i}", [1_000, 0, []])
    for now in (1_000 + TTL_MS, 1_000 + 2 * TTL_MS + 1):
        entities.get("other", now)
    assert len(entities) == 0


def test_a_dropped_entity_is_unknown_in_both_generations() -> None:
    """Dropping says whether there was something to drop."""
    entities = Entities(TTL_MS)
    entities.get("old", 1_000)
    entities.add("old", [1_000, 0, []])
    entities.get("young", 1_000 + TTL_MS)
    entities.add("young", [1_000 + TTL_MS, 0, []])
    assert entities.peek("old")
    assert entities.drop("old")
    assert entities.drop("young")
    assert not entities.drop("old")
    assert entities.get("old", 1_000 + TTL_MS) is None
    assert entities.peek("young") is None
