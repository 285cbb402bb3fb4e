"""Stage: bytes become typed records. What comes of it depends on the record alone, never on the state."""

from __future__ import annotations

from typing import Any

from topics.codec import Rejected, check_headers, decode_command, decode_event, decode_key, decode_label
from topics.envelope import COMMAND, EVENT, Record


def read(record: Record) -> Any:
    """(entity, event or label), a command, or the first fault of headers, key and value as `Rejected`."""
    headers = check_headers(record.headers)
    if headers is not None:
        return headers
    if record.rank == COMMAND:
        return decode_command(record.value)
    key = decode_key(record.key)
    if isinstance(key, Rejected):
        return key
    value: Any = decode_event(record.value) if record.rank == EVENT else decode_label(record.value)
    return value if isinstance(value, Rejected) else (key, value)
