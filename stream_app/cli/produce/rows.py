"""What a row of a file becomes."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
from msgspec import UNSET


class Columns(msgspec.Struct):
    """Which column of the file plays which part; `features` are the others, or those that were named."""

    file: str
    key: str
    event_id: str | None
    inline_label: str | None
    label: str | None
    features: frozenset[str]

    def id_of(self, number: int, row: dict[str, Any]) -> str:
        """The event's id of a row."""
        return f"{self.file}:{number}" if self.event_id is None else text_of(row[self.event_id])

    def event_of(self, number: int, row: dict[str, Any]) -> tuple[str, dict[str, Any], str, Any]:
        """Its event: entity, features, id and the label, UNSET where that is none."""
        features = {name: value for name, value in row.items() if name in self.features}
        label = row.get(self.inline_label, UNSET) if self.inline_label else UNSET
        return text_of(row.get(self.key)), features, self.id_of(number, row), label

    def label_of(self, number: int, row: dict[str, Any]) -> tuple[str, str, Any] | None:
        """Its label: entity, the event's id and the label; None for a row that has none."""
        if self.label not in row:
            return None
        return text_of(row.get(self.key)), self.id_of(number, row), row[self.label]


def text_of(value: Any) -> str:
    """A key or an id as text; a number or a bool keeps its JSON form."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()
