"""JSON Schemas of everything that travels, made from the types; docs/schemas holds them as files."""

from __future__ import annotations

from typing import Any

import msgspec

from topics import journal, records

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# file name → (type, topic); dead letters keep the refused record's own form
TYPES: dict[str, tuple[type[msgspec.Struct], str]] = {
    "event": (records.Event, "events"),
    "label": (records.Label, "labels"),
    "command": (records.Command, "commands"),
    "prediction": (records.Prediction, "predictions"),
    "alert": (records.Alert, "alerts"),
    "model-receipt": (records.ModelReceipt, "models"),
    "command-outcome": (records.CommandOutcome, "models"),
    "stats": (records.Stats, "stats"),
    "journal-batch": (journal.BatchRecord, "journal"),
    "journal-attempt": (journal.AttemptRecord, "journal"),
    "journal-epoch": (journal.EpochRecord, "journal"),
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Every name with its JSON Schema (draft 2020-12), each complete in itself."""
    return {name: schema(kind, topic) for name, (kind, topic) in TYPES.items()}


def schema(kind: type[msgspec.Struct], topic: str) -> dict[str, Any]:
    """One type's schema with its name and topic on top, and its own definition as the root."""
    made = msgspec.json.schema(kind)
    definitions = made["$defs"]
    root = definitions.pop(kind.__name__)
    head = {"$schema": DIALECT, "title": f"{kind.__name__}, the value of <app>.{topic}"}
    body = {key: value for key, value in root.items() if key != "title"}
    for described in (body, *definitions.values()):
        described["description"] = " ".join(described["description"].split())
    return {**head, **body, **({"$defs": definitions} if definitions else {})}
