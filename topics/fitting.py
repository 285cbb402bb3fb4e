"""Outputs that fit their client and broker, whatever they are made of: cut before the transaction begins.

What is cut depends on the record alone, so a replay cuts the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from topics.codec import JSON_OPTIONS, LARGEST_VALUE_BYTES, LONGEST_KEY_BYTES, check_headers
from topics.envelope import Headers, Record
from topics.records import value_of
from topics.sizes import LARGEST_LETTER_BYTES, LARGEST_OUTPUT_BYTES, record_bytes

HEADER: Final = "__stream_app.errors."
LONGEST_TEXT: Final = 1_000  # characters of a text in an output that is too large otherwise
LONGEST_MESSAGE: Final = 4_000  # characters of a dead letter's message, which may quote a model's exception


def dumps(value: Any) -> bytes:
    """Give JSON, also of records within records."""
    return orjson.dumps(value, option=JSON_OPTIONS, default=value_of)


def encode_within(value: Mapping[str, Any], most: int = LARGEST_OUTPUT_BYTES) -> bytes:
    """JSON of at most `most` bytes: long texts are cut first, then the largest fields are emptied.

    Raises:
        ValueError: not even that is enough.
    """
    encoded = dumps(value)
    if len(encoded) <= most:
        return encoded
    fields = {name: shortened(part) for name, part in value.items()}
    sizes = {name: len(dumps(part)) for name, part in fields.items()}
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        encoded = dumps(fields)
        if len(encoded) <= most:
            return encoded
        if isinstance(fields[name], dict | list | str):
            fields[name] = type(fields[name])()
    raise ValueError(f"an output of {len(encoded)} bytes, {most} are allowed")


def shortened(part: Any) -> Any:
    """Cut the texts of a field, nested ones too."""
    if isinstance(part, str):
        return part if len(part) <= LONGEST_TEXT else f"{part[:LONGEST_TEXT]}…"
    if isinstance(part, Mapping):
        return {name: shortened(one) for name, one in part.items()}
    if isinstance(part, list | tuple):
        return [shortened(one) for one in part]
    return part


class Letter(NamedTuple):
    """A dead letter as it is written."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(record: Record, refusal: Mapping[str, str]) -> Letter:
    """Key, value and headers of a letter: the record as it came, with why it was refused; cut to fit.

    A cut letter names in `cut` what was cut, and carries the size and SHA-256 of the whole value: together
    with the topic, partition and offset they are the way back to the original.
    """
    texts = {name: text[:LONGEST_MESSAGE].encode(errors="replace") for name, text in refusal.items()}
    ours: Headers = [(HEADER + name, text) for name, text in texts.items()]
    headers = [*(record.headers or ()), *ours]
    if record_bytes(record.key, record.value, headers) <= LARGEST_LETTER_BYTES:
        return Letter(record.key, record.value, headers)
    key, value, kept, cut = record.key, record.value or b"", record.headers or [], []
    if len(value) > LARGEST_VALUE_BYTES:
        cut.append("value")
    if key is not None and len(key) > LONGEST_KEY_BYTES:
        key = key[:LONGEST_KEY_BYTES]
        cut.append("key")
    if check_headers(kept) is not None:
        kept = []
        cut.append("headers")
    marks = {"cut": ",".join(cut), "size": str(len(value)), "sha256": sha256(value).hexdigest()}
    ours += [(HEADER + name, text.encode()) for name, text in marks.items()]
    return Letter(key, value[:LARGEST_VALUE_BYTES], [*kept, *ours])
