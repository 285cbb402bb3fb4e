"""How long an entity is known."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from stream_app.state.entities import Entities

TTL_MS = 100
MANY = 1_000_000


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 5)), min_size=1, max_size=150))
def test_reads_are_exact_to_the_time_to_live(visits: list[tuple[int, int]]) -> None:
    """An entity reads as known iff its last event is at most the time to live ago."""
    entities, last, now = Entities(TTL_MS, MANY), dict[str, int](), 1_700_000_000_000
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


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), min_size=1, max_size=150))
def test_beyond_the_limit_each_new_entity_drives_out_one_that_is_named(
    visits: list[tuple[int, int]],
) -> None:
    """Never more than the limit; whatever was not driven out is known exactly, also after a snapshot."""
    entities, last, now, driven = Entities(TTL_MS, 4), dict[str, int](), 1_700_000_000_000, 0
    for gap, number in visits:
        now += gap
        key = f"k{number}"
        entity = entities.get(key, now)
        assert (entity is not None) == (key in last and now - last[key] <= TTL_MS)
        if entity is None:
            copy = pickle.loads(pickle.dumps(entities))
            gone = entities.add(key, [now, 0, []])
            assert gone == copy.add(key, [now, 0, []])
            driven += gone is not None
            assert gone != key
            last.pop(gone or "", None)
        else:
            entity[0] = now
        last[key] = now
        assert len(entities) <= 4
    assert entities.evicted == driven


def test_an_entity_that_was_just_seen_stays() -> None:
    """One that was not seen since the generations changed goes first."""
    entities = Entities(TTL_MS, 3)
    for key in ("a", "b", "c"):
        entities.get(key, 1_000)
        entities.add(key, [1_000, 0, []])
    assert entities.add("d", [1_001, 0, []]) == "c"  # none is older than the others
    assert entities.get("a", 1_002)
    assert entities.add("e", [1_003, 0, []]) == "b"
    assert set(entities.keys()) == {"a", "d", "e"}


def test_the_memory_of_idle_entities_is_freed() -> None:
    """After twice the time to live nothing of an idle crowd is held, though nobody asked for it."""
    entities = Entities(TTL_MS, MANY)
    for i in range(1_000):
        entities.get(f"k{i}", 1_000)
        entities.add(f"k{i}", [1_000, 0, []])
    for now in (1_000 + TTL_MS, 1_000 + 2 * TTL_MS + 1):
        entities.get("other", now)
    assert len(entities) == 0


def test_a_dropped_entity_is_unknown_in_both_generations() -> None:
    """Dropping says whether there was something to drop."""
    entities = Entities(TTL_MS, MANY)
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
