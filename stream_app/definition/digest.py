"""What of a definition decides an answer, as hashes: an upgrade looks at each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from stream_app.application import Application
from stream_app.definition.reach import Place, reached
from stream_app.definition.sources import Imported, Source, imported_by
from stream_app.models.build import build
from stream_app.models.digest import structural_digest, structure
from stream_app.models.seeds import seed_for

# Hashed by themselves, since an upgrade looks at each; how often to snapshot and how fresh an answer of a
# predictor must be decide nothing that a learner writes, nor do the rows of the admission check, nor what
# the bridge makes of other topics before the learner reads them, or of predictions.
APART = {
    "champion", "challengers", "features", "labels", "snapshot", "serving", "task", "drift", "swap", "loss",
    "sample", "inputs", "outputs",
}  # fmt: skip


class Hashed(NamedTuple):
    """`definition`: by part; `sources`: by file, of the modules that it is made of; `installed`: the packages
    that these import.
    """

    definition: dict[str, Any]
    sources: dict[str, str]
    installed: set[str]


def hashed(app: Application) -> Hashed:
    """All hashes of a definition, in the process that loaded it.

    `sources` has the bytes of every own module, comments and all: any edit is another definition. What an
    upgrade carries over depends on `definition` alone, whose parts an edit elsewhere does not change: `slots`
    from a fresh model and from the text of its own classes and functions, with all that this text mentions.
    """
    digests, places, imported = made_of(app)
    slots = {name: slot_hash(digest, places[name], imported.own) for name, digest in digests.items()}
    return Hashed(parts_of(app, slots), source_hashes(imported), imported.installed)


def made_of(app: Application) -> tuple[dict[str, str], dict[str, list[Place]], Imported]:
    """By slot, the digest of a fresh model and where its code is; and the modules of the definition."""
    factories = {"champion": app.champion, **app.challengers}
    made = {
        name: structure(build(factory, seed_for(app.seed, name, 0))) for name, factory in factories.items()
    }
    places = {name: list(places_of(parts)) for name, (_, parts) in made.items()}
    modules = {app.home, *app.modules, *(module for found in places.values() for module, _ in found)}
    return {name: digest for name, (digest, _) in made.items()}, places, imported_by(sorted(modules))


def own_sources(app: Application) -> dict[str, bytes]:
    """The bytes of each file of a definition, by the name under which `sources` has its hash."""
    _, _, imported = made_of(app)
    return {source.label: source.data for source in imported.own.values()}


def definition_hashes(app: Application) -> dict[str, Any]:
    """`slots`: by name; `features`, `labels`, `rest`: what else decides an answer."""
    return hashed(app).definition


def parts_of(app: Application, slots: dict[str, str]) -> dict[str, Any]:
    """The definition, part by part."""
    rest = {
        entry.name: getattr(app, entry.name) for entry in dataclasses.fields(app) if entry.name not in APART
    }
    if not app.explain:  # so the hashes of definitions stay what they were before it could be asked for
        del rest["explain"]
    return {
        "task": app.task,
        "slots": slots,
        "drift": structural_digest([plain(detect) for detect in app.drift or ()]),
        "swap": structural_digest([dataclasses.astuple(app.swap), app.loss]),
        "features": features_hash(app),
        "labels": structural_digest(dataclasses.astuple(app.labels) if app.labels else None),
        "rest": structural_digest({name: plain(value) for name, value in rest.items()}),
    }


def places_of(parts: Iterable[Any]) -> Iterable[Place]:
    """Where the classes and functions of a model, and the classes that they derive from, are defined."""
    for part in parts:
        for one in part.__mro__ if isinstance(part, type) else (part,):
            yield one.__module__ or "", one.__qualname__.partition(".")[0]


def slot_hash(digest: str, places: Iterable[Place], own: Mapping[str, Source]) -> str:
    """A model's digest, with the text of the own code that it reaches, where there is any."""
    texts = reached(places, own)
    return structural_digest([digest, texts]) if texts else digest


def source_hashes(imported: Imported) -> dict[str, str]:
    """The hash of each file's bytes."""
    own = sorted(imported.own.values(), key=lambda source: source.label)
    return {source.label: blake2b(source.data, digest_size=16).hexdigest() for source in own}


def definition_hash(app: Application) -> str:
    """Hash a whole definition, as statistics hold it: shows whether a file is what a learner runs."""
    found = hashed(app)
    return structural_digest([found.definition, found.sources])[:16]


def features_hash(app: Application) -> str:
    """Hash of the features: an upgrade carries entities over only if it is equal."""
    return structural_digest([dataclasses.astuple(feature) for feature in app.features])


def plain(value: Any) -> Any:
    """A dataclass as its values, anything else as it is."""
    return (
        dataclasses.astuple(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )


def layout_of(app: Application) -> str:
    """A short hash that distinguishes blobs of other features; each blob carries it."""
    return features_hash(app)[:8]
