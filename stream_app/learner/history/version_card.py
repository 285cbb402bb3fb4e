"""What is said of a version that was had back: where it comes from, what it had learned, how good it was."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.learner.batch import journal
from stream_app.learner.history.journal_search import begun_at
from stream_app.learner.history.past import Past
from stream_app.learner.history.versions import VersionFound, Wanted
from stream_app.models.digest import structural_digest
from topics.batch_id import BatchId
from topics.records import ModelReceipt


def card_of(
    past: Past,
    wanted: Wanted,
    found: VersionFound,
    status: str,
    receipt: ModelReceipt,
    begun: BatchId | None,
) -> dict[str, Any]:
    """The card, as JSON; `receipt` is the version's newest, and `begun` the batch that made it, if known."""
    app, slot, prints = past.app, found.slot, found.fingerprint
    core = found.processor.core
    definition = prints.get("definition", {})
    return {
        "application": app.name,
        "shard": past.shard,
        "slot": slot.name,
        "version": slot.version,
        "parent": receipt.parent if receipt.parent is not None else slot.parent,
        "kind": slot.kind,
        "status": status,
        "why": receipt.why,
        "as_of": wanted.moment,
        "learned": slot.learned,
        "knows": slot.knows,
        "failed": slot.failed,
        "scores": slot.scores.report(),
        "data": {"from": None if begun is None else window_start(past, begun), "to": window_end(found)},
        **question_of(app),
        "classes": list(core.state.classes),
        "features": dict(core.state.kinds),
        "entity_features": sorted(core.windows.names),
        "definition": {
            "digest": structural_digest([definition, prints.get("sources", {})])[:16],
            "slot": definition.get("slots", {}).get(slot.origin),
        },
        "modules": list(app.modules),
        "libraries": dict(prints.get("libraries", {})),
        "python": prints.get("python"),
        "platform": prints.get("platform"),
        "receipt": msgspec.to_builtins(receipt),
    }


def question_of(app: Application) -> dict[str, Any]:
    """What the definition asks of its models: `task`, `threshold`, `positive`, `negative`."""
    return app.question._asdict()


def window_start(past: Past, begun: BatchId) -> dict[str, Any]:
    """Where the batch that made a version began; without positions where the journal no longer holds it."""
    place = begun_at(past.source, begun)
    positions, time_ms = (None, None) if place is None else (journal.by_name(place[0]), place[1])
    return {"batch": str(begun), "positions": positions, "log_time_ms": time_ms}


def window_end(found: VersionFound) -> dict[str, Any]:
    """What the version had been trained through: the next offset of each input, and the log time."""
    processor = found.processor
    return {
        "batch": processor.stamp,
        "positions": journal.by_name(list(processor.positions)),
        "log_time_ms": processor.core.state.log_time_ms,
    }
