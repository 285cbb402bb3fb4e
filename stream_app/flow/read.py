"""Stage: bytes become typed records. What comes of it depends on the record alone, never on the state."""

from __future__ import annotations

from typing import Any, Final
from zlib import crc32

from topics import reasons
from topics.codec import Rejected, check_headers, decode_command, decode_event, decode_key, decode_label
from topics.envelope import COMMAND, EVENT, Record
from topics.times import EARLIEST_MS, doubt

checksum: Final = crc32  # compiled, what is final is at hand, any other name is looked up
earliest_ms: Final = EARLIEST_MS


def read(record: Record) -> Any:
    """(entity, event, hash of its content), (entity, label) or a command; `Rejected`: the first fault of
    headers, key and value.
    """
    headers = check_headers(record.headers)
    if headers is not None:
        return headers
    if record.time_ms < earliest_ms:
        return Rejected(reasons.BAD_TIME, doubt(record.time_ms))
    if record.rank == COMMAND:
        return decode_command(record.value)
    key = decode_key(record.key)
    if isinstance(key, Rejected):
        return key
    if record.rank != EVENT:
        label: Any = decode_label(record.value)
        return label if isinstance(label, Rejected) else (key, label)
    event: Any = decode_event(record.value)
    if isinstance(event, Rejected):
        return event
    return key, event, checksum(record.value or b"", checksum(record.key or b""))
