"""Refuse before anything moves: what fails here leaves models, windows, pending rows and log time alone."""

from __future__ import annotations

from typing import Any

from stream_app.application import Application
from stream_app.flow.core import Core
from stream_app.flow.record_rules import features_for_models, label_type_fault
from stream_app.state.shard import ShardState
from topics import reasons
from topics.codec import Rejected, class_text

LONGEST_INTEGER = 20  # characters of -2^63


def as_models_see(core: Core, features: dict[str, Any]) -> Any:
    """An event's own features as models see them, or their first fault."""
    state = core.state
    full = state.category_bytes >= core.max_category_bytes
    return features_for_models(core.rules, state.kinds, state.unproven, state.categories, full, features)


def label_fault(app: Application, state: ShardState, label: Any) -> Rejected | None:
    """Why this shard cannot take a label, or None; a class that was seen before has passed all of it."""
    if type(label) is bool and state.classes.get(label) is bool:
        return None
    fault = label_type_fault(app, label)
    if fault is not None or app.labels is None or not state.classify:
        return fault
    kind = type(label)
    seen = state.classes.get(label)
    if seen is kind:
        return None
    if seen is not None:
        return Rejected(
            reasons.LABEL_UNKNOWN_CLASS, f"{label!r} and a class seen before differ only in JSON type"
        )
    if app.labels.classes is not None:
        return Rejected(reasons.LABEL_UNKNOWN_CLASS, f"{label!r} is not among the declared classes")
    if len(state.classes) >= app.labels.max_classes:
        bound, first = app.labels.max_classes, ", ".join(map(repr, list(state.classes)[:2]))
        text = f"{label!r} would be class {bound + 1}; max_classes is {bound}"
        if app.task == "binary":
            text = f"{label!r} would be a third class of a binary task: the labels before it were {first}"
        return Rejected(reasons.LABEL_UNKNOWN_CLASS, text)
    if collides(state, label):
        return Rejected(reasons.LABEL_UNKNOWN_CLASS, f"{label!r} has the JSON text of another class")
    return None


def collides(state: ShardState, label: Any) -> bool:
    """True if the new class would share its key in `probabilities` with a class seen before.

    Only a string and a class that is none can; asking for the one text that would collide costs the same for
    any number of classes.
    """
    if type(label) is not str:
        return state.classes.get(class_text(label)) is str
    if label in ("true", "false"):
        return state.classes.get(label == "true") is bool
    if len(label) > LONGEST_INTEGER or not label.isascii() or not label.removeprefix("-").isdecimal():
        return False
    return str(int(label)) == label and state.classes.get(int(label)) is int
