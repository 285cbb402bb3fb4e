"""What a path leads to: in the value, in the key, in headers, or in the attributes of an envelope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stream_app.inputs.envelopes import Opened, no_object
from stream_app.inputs.keys import key_text
from stream_app.inputs.paths import ABSENT, follow, split
from stream_app.inputs.topic import PLACE, Meta
from stream_app.inputs.values import parse_json
from topics import reasons
from topics.codec import Rejected

SHOWN: Final = 12  # fields that a message lists
SAID: Final = {
    "header": "the record has no header of that name",
    "key": "the record's key is not JSON with that field",
    "ce": "the event has no such attribute",
}
Finder = Callable[[Opened, Any, Meta], Any]


def missing(path: str, row: Any) -> Rejected:
    """A path that leads nowhere, with what is there instead."""
    place = path[len(PLACE) :].partition(".")[0] if path.startswith(PLACE) else ""
    if place in SAID:
        return Rejected(reasons.UNMAPPED, f"there is no {path!r}: {SAID[place]}")
    if type(row) is not dict:
        return no_object(row)
    names = ", ".join(list(row)[:SHOWN]) or "nothing"
    return Rejected(reasons.UNMAPPED, f"there is no {path!r} in the record, which has {names}")


def named_twice(name: str) -> Rejected:
    """Two fields of a flat record have one name, with the line to write."""
    fix = f"name them apart: features={{'one': {name!r}, …}}, where \\. is a dot within a field's name"
    return Rejected(reasons.BAD_FEATURE, f"two fields are called {name!r}; {fix}")


def finder(path: str, keys: str) -> Finder:
    """Give the function that finds what a path names, where keys are so written; ABSENT: there is nothing."""
    if not path.startswith(PLACE):
        steps = split(path)
        return lambda opened, _value, _meta: follow(opened.row, steps)
    place, *rest = split(path[len(PLACE) :])
    steps = tuple(rest)
    if place == "header":
        name = ".".join(rest)
        return lambda _opened, _value, meta: header(meta, name)
    if place == "ce":
        return lambda opened, _value, _meta: follow(opened.attributes, steps)
    if place == "value":
        return lambda _opened, value, _meta: follow(value, steps)
    if place == "offset":
        return lambda _opened, _value, meta: f"{meta.topic}/{meta.partition}/{meta.offset}"
    if steps:
        return lambda _opened, _value, meta: in_key(meta, steps)
    return lambda _opened, _value, meta: key_text(meta.key, keys)


def header(meta: Meta, name: str) -> Any:
    """The text of a record's last header of this name."""
    for found, value in reversed(meta.headers or ()):
        if found == name and value is not None:
            return value.decode(errors="replace")
    return ABSENT


def in_key(meta: Meta, steps: tuple[str, ...]) -> Any:
    """What a path leads to in a key that is JSON; a schema beside it is passed over."""
    key = None if meta.key is None else parse_json(meta.key)
    if type(key) is dict and "payload" in key and "schema" in key:
        key = key["payload"]
    return ABSENT if isinstance(key, Rejected) else follow(key, steps)
