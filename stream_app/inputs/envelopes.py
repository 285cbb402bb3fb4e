"""Envelopes: where the row is in a record that says more than its row.

Sources: Debezium 3, "Change event values" and its New Record State Extraction; CloudEvents 1.0, "Kafka
Protocol Binding".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from stream_app.inputs.topic import Meta, Skipped
from topics import reasons
from topics.codec import Rejected

NEW: Final = {"c", "r"}  # created, or read by a snapshot
CHANGED: Final = "u"
GONE: Final = {"d": "a row was deleted", "t": "a table was truncated", "m": "a message of the database"}
CE: Final = "ce_"
NO_ATTRIBUTES: Final[dict[str, Any]] = {}


class Opened(NamedTuple):
    """A record's row; `before` is the row that an update replaces, `attributes` are a CloudEvent's."""

    row: Any
    is_update: bool = False
    before: Any = None
    attributes: dict[str, Any] = NO_ATTRIBUTES


def open_plain(value: Any, _: Meta) -> Opened | Skipped | Rejected:
    """A value that is its own row."""
    return Opened(value)


def open_debezium(value: Any, _: Meta) -> Opened | Skipped | Rejected:
    """The row after a change, also where a schema stands beside it or the connector has flattened it."""
    if type(value) is dict and "payload" in value and "schema" in value:
        value = value["payload"]
    if value is None:
        return Skipped("a tombstone")
    if type(value) is not dict:
        return no_object(value)
    if "op" not in value and "after" not in value:
        return open_flattened(value)
    op = value.get("op", "c")
    if type(op) is str and op in GONE:
        return Skipped(GONE[op])
    if type(op) is not str or (op not in NEW and op != CHANGED):
        text = f"op is {str(op)[:20]!r}; a Debezium change has c, r, u, d, t or m"
        return Rejected(reasons.MALFORMED, text)
    return Opened(value.get("after"), op == CHANGED, value.get("before"))


def open_flattened(value: dict[str, Any]) -> Opened | Skipped:
    """A row that the connector has taken out of its envelope; what it added begins with two underscores."""
    if value.get("__deleted") in (True, "true"):
        return Skipped(GONE["d"])
    row = {name: part for name, part in value.items() if not name.startswith("__")}
    return Opened(row, value.get("__op") == CHANGED)


def open_cloudevent(value: Any, meta: Meta) -> Opened | Skipped | Rejected:
    """The data of an event: in structured mode all is in the value, in binary mode attributes are headers."""
    attributes: dict[str, Any] = attributes_of(meta.headers)
    if attributes:
        return Opened(value, attributes=attributes)
    if value is None:
        return Skipped("a tombstone")
    if type(value) is not dict:
        return no_object(value)
    if "specversion" not in value:
        text = "there is no specversion, neither in the value nor as header ce_specversion: no CloudEvent"
        return Rejected(reasons.MALFORMED, text)
    return Opened(value.get("data"), attributes=value)


def attributes_of(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, Any]:
    """A CloudEvent's attributes from headers; empty where there is no `ce_specversion`."""
    found = {
        name.removeprefix(CE): value.decode(errors="replace")
        for name, value in headers or ()
        if name.startswith(CE) and value is not None
    }
    return found if "specversion" in found else {}


def no_object(value: Any) -> Rejected:
    """What has no fields."""
    what = "null" if value is None else type(value).__name__
    return Rejected(reasons.MALFORMED, f"the value is a {what}; it must be an object with fields")


OPENERS: Final = {None: open_plain, "debezium": open_debezium, "cloudevents": open_cloudevent}
# How a path by `@value` begins that leads into the row.
ROWS: Final = {None: "@value.", "debezium": "@value.after.", "cloudevents": "@value.data."}
