"""Kafka keys as other people's producers write them, as text."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, Final

from topics import reasons
from topics.codec import Rejected, decode_key

LENGTHS: Final = {"int32": 4, "int64": 8}
UUID: Final = re.compile(rb"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})")
UUID_BYTES: Final = 16


def whole(key: bytes, form: str) -> str | Rejected:
    """A big-endian signed integer, as Java's serializers write it."""
    if len(key) != LENGTHS[form]:
        text = f"the key has {len(key)} bytes, {form} has {LENGTHS[form]}; correct keys= of the topic"
        return Rejected(reasons.BAD_KEY, text)
    return str(int.from_bytes(key, "big", signed=True))


def unique(key: bytes) -> str | Rejected:
    """A UUID as text, or as its 16 bytes."""
    text = key.hex().encode() if len(key) == UUID_BYTES else key.lower()
    found = UUID.fullmatch(text)
    if found is None:
        said = f"the key of {len(key)} bytes is no UUID; correct keys= of the topic"
        return Rejected(reasons.BAD_KEY, said)
    return b"-".join(found.groups()).decode()


FORMS: Final[dict[str, Callable[[bytes], str | Rejected]]] = {
    "text": decode_key,
    "int32": lambda key: whole(key, "int32"),
    "int64": lambda key: whole(key, "int64"),
    "uuid": unique,
    "base64": lambda key: base64.b64encode(key).decode(),
    "json": decode_key,  # its paths are asked for; whole, it is its text
}


def key_text(key: bytes | None, form: str) -> str | Rejected:
    """The entity that a record's key names.

    >>> key_text((7).to_bytes(4, "big"), "int32"), key_text(b"u1", "text")
    ('7', 'u1')
    """
    if key is None:
        return decode_key(key)
    found = FORMS[form](key)
    if isinstance(found, Rejected) or form in ("text", "json"):
        return found
    return decode_key(found.encode())


def text_of(value: Any) -> str:
    """An id or a key as text: integers too, nothing else; empty where it is neither."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int else ""


def joined(parts: list[str]) -> str:
    r"""One id of several parts: joined by colons, of which those within a part are escaped.

    >>> joined(["a", "b:c"]), joined(["a:b", "c"]), joined(["a:b"])
    ('a:b\\:c', 'a\\:b:c', 'a:b')
    """
    if len(parts) > 1:
        parts = [part.replace("\\", "\\\\").replace(":", "\\:") for part in parts]
    return ":".join(parts)
