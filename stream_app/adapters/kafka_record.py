"""confluent-kafka: a polled message as a record; live and replay must read the same from the same bytes."""

from __future__ import annotations

from confluent_kafka import Message

from topics.envelope import UNREADABLE, Headers, Record


def to_record(message: Message, rank: int) -> Record:
    """The record of a message that carries no error."""
    try:
        headers: Headers | None = message.headers()  # type: ignore[assignment]  # the stub knows str values too
    except (SystemError, UnicodeDecodeError):  # a name that is not UTF-8; 2.16 raises the former
        headers = UNREADABLE
    return Record(
        rank, message.offset() or 0, message.timestamp()[1], message.key(), message.value(), headers
    )
