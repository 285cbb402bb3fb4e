"""What no topic could carry: ids and keys beyond their bounds, and times far from their record's."""

from __future__ import annotations

from typing import Final

from stream_app.inputs.topic import Event, Label, Meta
from topics import reasons
from topics.catalog import FURTHEST_AHEAD_MS
from topics.codec import Rejected, decode_key
from topics.records import LONGEST_ID_BYTES
from topics.times import EARLIEST_MS

SHORT: Final = 64  # characters, which no bound in bytes is below


def fault_of(event_id: str, key: str) -> Rejected | None:
    """A key or an id that nothing could carry."""
    if len(key) > SHORT or not key.isascii() or "\0" in key:
        fault = decode_key(key.encode(errors="surrogatepass"))
        if isinstance(fault, Rejected):
            return fault
    return long_id(event_id)


def long_id(event_id: str) -> Rejected | None:
    """An id over the bound that every output can carry."""
    if len(event_id) <= LONGEST_ID_BYTES and event_id.isascii():
        return None
    size = len(event_id.encode(errors="surrogatepass"))
    text = f"the event's id has {size} bytes, {LONGEST_ID_BYTES} are allowed"
    return Rejected(reasons.UNMAPPED, text) if size > LONGEST_ID_BYTES else None


def in_time(found: Event | Label, meta: Meta) -> Rejected | None:
    """A time far ahead of the record's own would drag log time with it."""
    if found.time is None or meta.time_ms < EARLIEST_MS:
        return None
    ahead_ms = found.time - meta.time_ms
    if ahead_ms <= FURTHEST_AHEAD_MS:
        return None
    text = f"the time lies {ahead_ms // 1000} s after the record was written; 600 s are allowed"
    return Rejected(reasons.BAD_TIME, text)
