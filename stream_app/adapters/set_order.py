"""The order in which a set iterates: River's models sum and break ties over it, so a snapshot must keep it.

Where members compete for a place in the table, the order of iteration depends on that of insertion. Pickle
inserts in the order of iteration: after a snapshot a tree's classes `low, mid` may come as `mid, low`, and a
sum end in another bit. So an order of insertion that gives the same set again is searched and stored.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from itertools import permutations
from random import Random
from typing import Any

FEW = 6  # members whose permutations are all tried, 720 at most
TRIES = 20_000


class Unrepeatable(ValueError):
    """A set that no order of insertion gives again; what holds it cannot be stored."""


@lru_cache(maxsize=4_096)
def insertion_order(iterated: tuple[Hashable, ...]) -> tuple[int, ...] | None:
    """Places in `iterated` in an order of insertion that iterates so; None where the order itself will do.

    Places and not members, since 1, 1.0 and True are one key of a cache.

    Raises:
        Unrepeatable: none was found; such a set was not made by insertions alone.
    """
    wanted = list(iterated)
    if list(set(wanted)) == wanted:
        return None
    places = range(len(wanted))
    if len(wanted) <= FEW:
        for order in permutations(places):
            if list(set(map(wanted.__getitem__, order))) == wanted:
                return order
    else:
        found = climb(wanted)
        if found is not None:
            return tuple(found)
    raise Unrepeatable(f"a set of {len(wanted)} members would not come back in its order")


def climb(wanted: list[Any]) -> list[int] | None:
    """Move and swap members while no fewer of them iterate in their place."""
    dice = Random(0)  # noqa: S311 - a search, repeatable
    order = list(range(len(wanted)))
    fewest = misplaced(order, wanted)
    for _ in range(TRIES):
        if not fewest:
            return order
        other = order.copy()
        here, there = dice.randrange(len(order)), dice.randrange(len(order))
        if dice.random() < 0.5:
            other.insert(there, other.pop(here))
        else:
            other[here], other[there] = other[there], other[here]
        now = misplaced(other, wanted)
        if now <= fewest:
            order, fewest = other, now
    return None


def misplaced(order: list[int], wanted: list[Any]) -> int:
    """How many members iterate in another place after insertion in this order."""
    made = list(set(map(wanted.__getitem__, order)))
    return sum(member is not expected for member, expected in zip(made, wanted, strict=True))


class SetsInOrder:
    """Stores a set whose own order would not come back as (its number, its members in an order that does).

    Apart from pickle, to be compiled: pickle asks about every object, which in Python doubles what a forest
    takes.
    """

    def __init__(self) -> None:
        # By id; the set itself too, so that its id stays its own.
        self.numbers: dict[int, tuple[int, set[Any]]] = {}

    def persistent_id(self, obj: Any) -> tuple[int, tuple[Any, ...]] | None:
        """None leaves the object to pickle: anything but such a set."""
        if type(obj) is not set or len(obj) < 2:
            return None
        members = tuple(obj)
        order = insertion_order(members)
        if order is None:
            return None
        number, _ = self.numbers.setdefault(id(obj), (len(self.numbers), obj))
        return number, tuple(members[place] for place in order)
