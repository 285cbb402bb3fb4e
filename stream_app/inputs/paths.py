"""Dotted paths into a decoded value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

ABSENT: Final = object()
SCALARS: Final = (str, int, float, bool)


def split(path: str) -> tuple[str, ...]:
    """The steps of a path."""
    return tuple(path.split("."))


def follow(value: Any, steps: tuple[str, ...]) -> Any:
    """What a path leads to; ABSENT where it leads nowhere. A step into a list is its index.

    >>> follow({"a": {"b": [1, 2]}}, ("a", "b", "1"))
    2
    """
    for step in steps:
        if type(value) is dict:
            value = value.get(step, ABSENT)
        elif type(value) is list and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ABSENT
    return value


def leaves(value: dict[str, Any], left_out: set[str], found: dict[str, Any], prefix: str = "") -> None:
    """Enter everything but objects under its path: numbers, texts, booleans, nulls, and whole lists.

    What `left_out` names is passed over, with all that is in it.

    >>> found = {}
    >>> leaves({"a": 1, "b": {"c": "x", "d": None}, "e": {"f": 2}}, {"e"}, found)
    >>> found
    {'a': 1, 'b.c': 'x', 'b.d': None}
    """
    for name, part in value.items():
        path = prefix + name
        if path in left_out:
            continue
        if type(part) is dict:
            leaves(part, left_out, found, path + ".")
        else:
            found[path] = part


def below(within: str | None, paths: Iterable[str]) -> set[str]:
    """Paths as they are from the object at `within` on; those that lead elsewhere are left out.

    >>> below("payload", ["payload.id", "id"]), below(None, ["id"])
    ({'id'}, {'id'})
    """
    if not within:
        return set(paths)
    return {path.removeprefix(f"{within}.") for path in paths if path.startswith(f"{within}.")}
