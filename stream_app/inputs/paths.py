"""Dotted paths into a decoded value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

ABSENT: Final = object()
SCALARS: Final = (str, int, float, bool)


def split(path: str) -> tuple[str, ...]:
    r"""The steps of a path; `\.` is a dot within a name.

    >>> split(r"pickup.lat"), split(r"http\.status")
    (('pickup', 'lat'), ('http.status',))
    """
    if "\\." not in path:
        return tuple(path.split("."))
    return tuple(step.replace("\0", ".") for step in path.replace("\\.", "\0").split("."))


def named_by(path: str) -> str:
    """The name of the feature that a path leads to."""
    return ".".join(split(path))


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


def leaves(value: dict[str, Any], left_out: set[str], found: dict[str, Any], prefix: str = "") -> str | None:
    """Enter everything but objects under its path: numbers, texts, booleans, nulls, and whole lists.

    What `left_out` names is passed over, with all that is in it. Gives the name that two fields have, if
    there is one: `{"a.b": 1, "a": {"b": 2}}` has two `a.b`.

    >>> found = {}
    >>> leaves({"a": 1, "b": {"c": "x", "d": None}, "e": {"f": 2}}, {"e"}, found)
    >>> found
    {'a': 1, 'b.c': 'x', 'b.d': None}
    """
    twice: str | None = None
    for name, part in value.items():
        path = prefix + name
        if path in left_out:
            continue
        if type(part) is dict:
            twice = leaves(part, left_out, found, path + ".") or twice
        elif path in found:
            twice = path
        else:
            found[path] = part
    return twice


def below(within: str | None, paths: Iterable[str]) -> set[str]:
    """Paths as they are from the object at `within` on; those that lead elsewhere are left out.

    >>> below("payload", ["payload.id", "id"]), below(None, ["id"])
    ({'id'}, {'id'})
    """
    if not within:
        return set(paths)
    return {path.removeprefix(f"{within}.") for path in paths if path.startswith(f"{within}.")}
