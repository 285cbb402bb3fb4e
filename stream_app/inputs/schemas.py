"""Schemas by the id that a record carries, whoever keeps them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from topics import reasons
from topics.codec import FRAME_BYTES, Rejected


class Schema(NamedTuple):
    """A schema as it was registered; `kind` is AVRO, JSON or PROTOBUF, `references` are texts by name."""

    kind: str
    text: str
    references: tuple[tuple[str, str], ...] = ()


class RegistryAway(Exception):
    """The registry does not answer now, and the schema is not known yet: ask again later."""


class Schemas(Protocol):
    """Where schemas are asked for."""

    def schema(self, number: int) -> Schema | Rejected:
        """The schema of an id, or why there is none.

        Raises:
            RegistryAway: nobody can be asked now.
        """


class NoSchemas:
    """For an application without a registry."""

    def schema(self, number: int) -> Schema | Rejected:
        """Refuse: there is nobody to ask."""
        text = f"schema id {number} needs a registry; set STREAM_APP_REGISTRY__URL"
        return Rejected(reasons.MALFORMED, text)


def unframed(value: bytes) -> tuple[int, bytes] | Rejected:
    """A schema's id and the bytes behind it.

    >>> unframed(bytes([0, 0, 0, 0, 17, 9]))
    (17, b'\\t')
    """
    if len(value) < FRAME_BYTES or value[0]:
        text = "the value does not begin with a zero and a schema id, as Confluent's serializers write it"
        return Rejected(reasons.MALFORMED, text)
    return int.from_bytes(value[1:FRAME_BYTES], "big"), value[FRAME_BYTES:]
