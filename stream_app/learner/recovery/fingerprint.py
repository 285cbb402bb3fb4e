"""Who may append to an epoch: whatever could change one bit of an answer."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from stream_app.application import Application
from stream_app.definition.digest import hashed
from stream_app.definition.sources import versions
from stream_app.errors import Halted, Refused

# Whose numbers or bytes reach a journal: models, their arrays and statistics, and what reads and writes JSON.
LIBRARIES = ("river", "numpy", "scipy", "orjson", "msgspec", "stream-app")
# What is compared by itself: topics by a learner, the sample run by the process that steps records as it did.
BESIDE = ("topics", "sample_run")
NEW, GONE, CHANGED = " is new", " is gone", " changed"


def fingerprint(
    app: Application, topic_ids: Mapping[str, str], sample_run: str | None = None
) -> dict[str, Any]:
    """JSON-able identity of definition, libraries, platform and input topics.

    `sample_run` is the digest of what the definition's models answer and become on sample data. It shows what
    no version does: another C library, processor or BLAS. None, where no sample was run, equals any other.
    """
    found = hashed(app)
    return {
        "sources": found.sources,  # first, for a refusal names differences in this order
        "definition": found.definition,
        "sample_run": sample_run,
        "python": platform.python_version(),
        "libraries": {**{name: version(name) for name in LIBRARIES}, **versions(found.installed)},
        "platform": f"{platform.system()}-{platform.machine()}",
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
        "topics": dict(topic_ids),
    }


def for_predictors(prints: Mapping[str, Any]) -> dict[str, Any]:
    """What a predictor must have in common with the learner.

    It reads no topic and runs no sample: each published model brings rows with its own answers, which it must
    repeat to the bit.
    """
    return {name: value for name, value in prints.items() if name not in BESIDE}


def changes(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """What differs, one sentence for each difference.

    >>> old = {"sources": {"a.py": "0", "b.py": "0"}, "python": "3.11", "libraries": {"orjson": "3.13"}}
    >>> new = {"sources": {"a.py": "1", "c.py": "0"}, "python": "3.12", "libraries": {"orjson": "3.14"}}
    >>> list(changes(old, new))
    ['a.py changed', 'b.py is gone', 'c.py is new', 'Python 3.11 → 3.12', 'orjson 3.13 → 3.14']
    >>> list(changes({"definition": {"slots": {"a": "0"}}}, {"definition": {"slots": {"a": "1"}}}))
    ['slot a changed']
    >>> list(changes({"sample_run": "0"}, {"sample_run": None}))
    []
    """
    found = False
    for name in dict.fromkeys([*recorded, *current]):
        was, now = recorded.get(name), current.get(name)
        if was == now or name == "sample_run":
            continue
        found = True
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from within(name, was, now)
        elif isinstance(was, Mapping) or isinstance(now, Mapping):
            yield f"{name} {'were not recorded' if was is None else 'are not known here'}"
        else:
            yield f"{'Python' if name == 'python' else name} {was} → {now}"
    was, now = recorded.get("sample_run"), current.get("sample_run")
    if not found and was is not None and now is not None and was != now:
        yield (
            "the models answer sample data otherwise on this machine: "
            "its C library, processor or BLAS computes other bits"
        )


def within(section: str, recorded: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """The sentences of one section; hashes are named without their digits."""
    for name in dict.fromkeys([*recorded, *current]):
        was, now = recorded.get(name), current.get(name)
        if was == now:
            continue
        if section == "definition" and name == "slots":
            yield from within("slots", was or {}, now or {})
        elif section in ("libraries", "topics") and was is not None and now is not None:
            yield f"{name} {was} → {now}"
        else:
            subject = {"slots": f"slot {name}", "definition": NAMED.get(name, name)}.get(section, name)
            yield subject + (NEW if was is None else GONE if now is None else CHANGED)


NAMED = {"rest": "a setting of the definition"}


def check_topics(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Whether the inputs are those that the epoch was recorded with.

    Raises:
        Halted: an input topic is another one.
    """
    if recorded.get("topics", current["topics"]) != current["topics"]:
        raise Halted(
            "an input topic was deleted and created again, so the journal's offsets no longer mean anything",
            "Restore the topic, or start the application under a new name",
        )


def check_fingerprint(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Whether this process may append to the epoch that was recorded.

    Raises:
        Halted: an input topic is another one.
        Refused: another definition, library or platform: upgrade.
    """
    check_topics(recorded, current)
    found = list(changes(recorded, current))
    if found:
        raise Refused(
            f"the running epoch was recorded with something else: {', '.join(found)}",
            "Run `stream-app upgrade MODULE:APP` to open a new epoch, or go back to what it was",
        )
