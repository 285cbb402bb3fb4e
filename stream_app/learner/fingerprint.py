"""Who may append to an epoch: whatever could change one bit of an answer."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from stream_app.adapters.definition_hash import definition_hashes
from stream_app.application import Application
from stream_app.errors import Halted, Refused

LIBRARIES = ("river", "numpy", "stream-app")


def fingerprint(app: Application, topic_ids: Mapping[str, str]) -> dict[str, Any]:
    """JSON-able identity of definition, libraries, platform and input topics; compared as a whole."""
    return {
        "definition": definition_hashes(app),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "platform": f"{platform.system()}-{platform.machine()}",
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
        "topics": dict(topic_ids),
    }


def apart_from_topics(prints: Mapping[str, Any]) -> dict[str, Any]:
    """What decides an answer, whatever inputs it was learned from."""
    return {name: value for name, value in prints.items() if name != "topics"}


def changes(recorded: Mapping[str, Any], current: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What differs, for a person: `libraries.river 0.26.1 → 0.26.2`; hashes are named without their digits.

    >>> old, new = {"slots": {"a": "0" * 32}, "python": "3.11"}, {"slots": {"a": "1" * 32}, "python": "3.12"}
    >>> list(changes(old, new))
    ['slots.a', 'python 3.11 → 3.12']
    """
    for name in dict.fromkeys([*recorded, *current]):
        was, now = recorded.get(name), current.get(name)
        if was == now:
            continue
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from changes(was, now, f"{path}{name}.")
        elif any(isinstance(value, str) and len(value) == 32 for value in (was, now)):
            yield f"{path}{name}" + (" (new)" if was is None else " (gone)" if now is None else "")
        else:
            yield f"{path}{name} {was} → {now}"


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
    if recorded != current:
        raise Refused(
            f"the running epoch was recorded with something else: {', '.join(changes(recorded, current))}",
            "Run `stream-app upgrade MODULE:APP` to open a new epoch, or go back to what it was",
        )
