"""How large a record may be. What passes a bound here fails at the client or the broker, at every attempt.

The client (librdkafka, `message.max.bytes`) judges each record before compression; the broker
(`max.message.bytes` of the topic) judges the compressed batch, which is no larger than the records in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BROKER_BYTES: Final = 1_048_588  # Kafka's default of `max.message.bytes`
CLIENT_BYTES: Final = 2 << 20  # `message.max.bytes` of the learner's producer
LARGEST_OUTPUT_BYTES: Final = 1_000_000  # key and value, below BROKER_BYTES with their framing
LARGEST_LETTER_BYTES: Final = CLIENT_BYTES - 1_024  # framed as `record_bytes` does; the batch adds 61 bytes
FRAME_BYTES: Final = 36  # of a record without headers, as the client counts
HEADER_FRAME_BYTES: Final = 10  # of one header, at most


def record_bytes(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None = None
) -> int:
    """What the client judges: at least what it counts itself.

    >>> record_bytes(b"k", b"value")
    42
    """
    size = FRAME_BYTES + len(key or b"") + len(value or b"")
    for name, content in headers or ():
        size += HEADER_FRAME_BYTES + len(name.encode()) + len(content or b"")
    return size
