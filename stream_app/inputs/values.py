"""JSON of any form, as a foreign producer wrote it, and why a value is none."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from topics import reasons
from topics.codec import Rejected, decode

parse: Final = msgspec.json.Decoder().decode
FRAMED: Final = 5  # bytes of a Confluent header: a zero and a schema's id
BOM: Final = b"\xef\xbb\xbf"


def parse_json(value: bytes | None) -> Any:
    """The value of a record; None for a tombstone. A byte order mark is passed over.

    NaN and infinities are no JSON; the message says what to do.
    """
    if value is None:
        return None
    value = value.removeprefix(BOM)
    found = decode(value, parse)
    if isinstance(found, Rejected) and found.reason == reasons.MALFORMED:
        return explained(value) or found
    return found


def explained(value: bytes) -> Rejected | None:
    """What a value is that is often taken for JSON, or None."""
    if len(value) > FRAMED and value[0] == 0:
        number = int.from_bytes(value[1:FRAMED], "big")
        text = f"the value begins with a Confluent schema id ({number}); give the topic its format="
        return Rejected(reasons.MALFORMED, text)
    for word in (b"NaN", b"Infinity"):
        if word in value:
            text = f"{word.decode()} is not JSON; leave the feature out"
            return Rejected(reasons.MALFORMED, text)
    return None
