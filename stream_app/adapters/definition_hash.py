"""What of a definition decides an answer, as hashes: an upgrade looks at each."""

from __future__ import annotations

import dataclasses
from typing import Any

from stream_app.application import Application
from stream_app.models.build import build
from stream_app.models.digest import structural_digest
from stream_app.models.seeds import seed_for

# Hashed by themselves, since an upgrade looks at each; how often to snapshot and how fresh an answer of a
# predictor must be decide nothing that a learner writes, nor do the rows of the admission check.
APART = {
    "champion", "challengers", "features", "labels", "snapshot", "serving", "task", "drift", "swap", "loss",
    "sample",
}  # fmt: skip


def definition_hashes(app: Application) -> dict[str, Any]:
    """`slots`: by name, from a fresh model; `features`, `labels`, `rest`: what else decides an answer."""
    factories = {"champion": app.champion, **app.challengers}
    slots = {
        name: structural_digest(build(factory, seed_for(app.seed, name, 0)))
        for name, factory in factories.items()
    }
    rest = {
        entry.name: getattr(app, entry.name) for entry in dataclasses.fields(app) if entry.name not in APART
    }
    return {
        "task": app.task,
        "slots": slots,
        "drift": structural_digest([plain(detect) for detect in app.drift or ()]),
        "swap": structural_digest([dataclasses.astuple(app.swap), app.loss]),
        "features": features_hash(app),
        "labels": structural_digest(dataclasses.astuple(app.labels) if app.labels else None),
        "rest": structural_digest({name: plain(value) for name, value in rest.items()}),
    }


def definition_hash(app: Application) -> str:
    """One hash of all of it, as statistics hold it: whether a file still is what a learner runs."""
    return structural_digest(definition_hashes(app))[:16]


def features_hash(app: Application) -> str:
    """Under the same one alone is what is known of an entity carried over by an upgrade."""
    return structural_digest([dataclasses.astuple(feature) for feature in app.features])


def plain(value: Any) -> Any:
    """A dataclass as its values, anything else as it is."""
    return (
        dataclasses.astuple(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )


def layout_of(app: Application) -> str:
    """What tells an entity's blob from one of other features, short since each blob carries it."""
    return features_hash(app)[:8]
