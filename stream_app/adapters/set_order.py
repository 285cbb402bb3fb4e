"""The order in which a set iterates: River's models sum and break ties over it, so a snapshot must keep it.

It depends on all insertions and deletions that a set has seen, and pickle stores no more than the members as
they iterate. So a live set is emptied and filled again where it is stored, member by member in the order that
is stored: then it has the table that loading builds, and stays like the loaded one whatever comes (ADR 19).
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache
from math import isnan
from random import Random
from types import BuiltinFunctionType, MethodType
from typing import Any

FEW = 18  # members, up to which filling a set again keeps its order of iteration where it can
TRIES = 300
# Their hashes are the same in every process under one PYTHONHASHSEED; a NaN's is not.
LASTING = {bool, int, str, bytes, complex}
NONE_LASTS = sys.version_info >= (3, 12)  # before, the hash of None is its address


class Unrepeatable(ValueError):
    """A set that another process would lay out in another way; what holds it cannot be stored."""


class Layout:
    """A live set, its members in the order in which to fill it, and whether they iterated in another one."""

    def __init__(self, members: set[Any], order: list[Any], *, moved: bool) -> None:
        self.members = members
        self.order = order
        self.moved = moved


def layouts(sets: Iterable[set[Any]]) -> dict[int, Layout]:
    """By id, how to fill each set again.

    Raises:
        Unrepeatable: the hash of a member is an address.
    """
    return {id(members): layout(members) for members in sets}


def layout(members: set[Any]) -> Layout:
    """How to fill one set again."""
    iterated = list(members)
    for kind in set(map(type, iterated)) - LASTING:
        for member in iterated:
            if type(member) is kind and not lasts(member):
                named = "a NaN" if isinstance(member, float) else f"one of type {kind.__name__}"
                raise Unrepeatable(
                    f"a set of {len(iterated)} members holds {named}, whose hash is an address in memory: "
                    "another process would iterate it in another order"
                )
    places = insertion_order(tuple(iterated)) if 2 <= len(iterated) <= FEW else None
    if places is None:
        return Layout(members, iterated, moved=False)
    return Layout(members, [iterated[place] for place in places], moved=True)


def lasts(member: Any) -> bool:
    """Whether the hash of a member is the same in every process."""
    kind = type(member)
    if member is None:
        return NONE_LASTS
    if isinstance(member, float):
        return not isnan(member)
    if kind is tuple or kind is frozenset:
        return all(type(part) in LASTING or lasts(part) for part in member)
    method: Any = kind.__hash__
    return method is not object.__hash__ and not isinstance(member, BuiltinFunctionType | MethodType)


def lay_out(found: Mapping[int, Layout]) -> None:
    """Fill each set again."""
    for one in found.values():
        set.clear(one.members)
        set.update(one.members, one.order)


@lru_cache(maxsize=4_096)
def insertion_order(iterated: tuple[Hashable, ...]) -> tuple[int, ...] | None:
    """Places in `iterated` in an order of insertion that iterates so; None where the order itself does, or
    where none was found.

    Places and not members, since 1, 1.0 and True are one key of a cache. Members move and swap while no fewer
    of them iterate in their place.
    """
    wanted = list(iterated)
    dice = Random(0)  # noqa: S311 - a search, repeatable
    order = list(range(len(wanted)))
    fewest = misplaced(order, wanted)
    if not fewest:
        return None
    for _ in range(TRIES):
        other = order.copy()
        here, there = dice.randrange(len(order)), dice.randrange(len(order))
        if dice.random() < 0.5:
            other.insert(there, other.pop(here))
        else:
            other[here], other[there] = other[there], other[here]
        now = misplaced(other, wanted)
        if not now:
            return tuple(other)
        if now <= fewest:
            order, fewest = other, now
    return None


def misplaced(order: list[int], wanted: list[Any]) -> int:
    """How many members iterate in another place after insertion in this order."""
    made = list(set(map(wanted.__getitem__, order)))
    return sum(member is not expected for member, expected in zip(made, wanted, strict=True))
