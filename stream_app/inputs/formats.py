"""In which format the values of a topic are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NAMES: Final = ("json", "json-schema", "avro")


@dataclass(frozen=True)
class Avro:
    """Avro: behind a Confluent header, or, with `schema` (a dictionary or its JSON), bare."""

    schema: Mapping[str, Any] | str | None = None


@dataclass(frozen=True)
class Protobuf:
    """Protobuf: `message` is the class that protoc made, `module:Class`.

    `framed`: values begin with a Confluent header.
    """

    message: str
    framed: bool = True


Format = str | Avro | Protobuf
