"""What of a record can be judged by itself: values, names and labels. The SDK and `produce` judge by it too.

No model and no state is needed, nor the libraries that they need, so that a producer loads none.
"""

from __future__ import annotations

from typing import Any, Final
from unicodedata import is_normalized

from stream_app.application import Application
from topics import reasons
from topics.codec import Rejected
from topics.records import KINDS

# Epoch times in milliseconds pass. Ids of twenty digits are names, not numbers, and squares and products of
# what is larger lose all precision in River's linear models.
LARGEST: Final = 1e15
LARGEST_WHOLE: Final = 1_000_000_000_000_000  # as `LARGEST`, for integers
LONGEST_NAME = 64


def feature_fault(
    app: Application,
    known: dict[str, str],
    unproven: dict[str, int],
    categories: dict[str, dict[str, bool]],
    features: dict[str, Any],
) -> Rejected | None:
    """The first fault of an event's own features, or None. One pass, 0.1 µs a feature when all is well.

    `known` are the types that were declared or seen, by feature; another one may replace those of `unproven`.
    `categories` are the strings that were seen.
    """
    if not features:
        return Rejected(reasons.BAD_FEATURE, "the event has no features; send at least one")
    if len(features) > app.limits.max_features:
        return Rejected(
            reasons.BAD_FEATURE, f"{len(features)} features, {app.limits.max_features} are allowed"
        )
    unseen = 0
    for name, value in features.items():
        if type(value) is float:
            kind, small = "number", in_range(value)
        elif type(value) is int:
            kind, small = "number", -LARGEST <= value <= LARGEST
        elif type(value) is str or type(value) is bool:
            kind, small = KINDS[type(value)], True
        else:
            what = "null" if value is None else type(value).__name__
            return Rejected(
                reasons.BAD_FEATURE, f"feature {name!r} is {what}; send a number, a string or a boolean"
            )
        if not small:
            return Rejected(reasons.BAD_FEATURE, f"feature {name!r} is beyond ±{LARGEST:.0e}; scale it")
        expected = known.get(name)
        if expected is None:
            fault = name_fault(app, name)
            if fault:
                return Rejected(reasons.BAD_FEATURE, fault)
            unseen += 1
        elif expected != kind and name not in unproven:
            return Rejected(reasons.BAD_FEATURE, f"feature {name!r} is a {kind}, it was a {expected} before")
        if kind == "string":
            seen = categories.get(name)
            if seen is not None and len(seen) >= app.limits.max_categories and value not in seen:
                bound = app.limits.max_categories
                return Rejected(
                    reasons.BAD_FEATURE, f"feature {name!r} has more than {bound} different strings"
                )
    if unseen and len(known) + unseen > app.limits.max_feature_names:
        return Rejected(
            reasons.BAD_FEATURE, f"{unseen} new names would pass the bound of {app.limits.max_feature_names}"
        )
    return None


def is_known_numeric(known: dict[str, str], features: dict[str, Any], most: int) -> bool:
    """True for features that have no fault and teach nothing: numbers in range under known names.

    Nearly every event is so, and saved `feature_fault` and `vocabulary.took`.
    """
    for name, value in features.items():
        small = in_range(value) if type(value) is float else type(value) is int and is_small(value)
        if not small or known.get(name) != "number":
            return False
    return 0 < len(features) <= most


def is_small(value: int) -> bool:
    """Whether an integer is in range. A typed argument: compiled, it is compared as an integer."""
    return -LARGEST_WHOLE <= value <= LARGEST_WHOLE


def in_range(value: float) -> bool:
    """False for NaN and infinities too. A typed argument: compiled, it is compared as a C double."""
    return -LARGEST <= value <= LARGEST


def name_fault(app: Application, name: str) -> str | None:
    """Why a feature's name cannot be taken, or None. Runs once for each new name."""
    if not name:
        return "a feature's name is empty"
    if len(name) > LONGEST_NAME:
        return f"feature name {name[:LONGEST_NAME]!r}… is longer than {LONGEST_NAME} characters"
    if name.startswith("__"):
        return f"feature name {name!r} starts with two underscores, which is reserved"
    if not is_normalized("NFC", name):
        return f"feature name {name!r} is not in Unicode form NFC"
    if any(feature.name == name for feature in app.features):
        return f"feature name {name!r} is taken by an entity feature of the definition"
    return None


def label_type_fault(app: Application, label: Any) -> Rejected | None:
    """Why no shard of this application could take a label, or None."""
    if app.labels is None:
        return Rejected(
            reasons.LABEL_UNEXPECTED, "the definition has labels=None; declare Labels(...) to learn them"
        )
    kind = type(label)
    if app.task == "regression":
        if kind is not int and kind is not float:
            return Rejected(reasons.LABEL_BAD, f"a regression target is a number, not {kind.__name__}")
        if not -LARGEST <= label <= LARGEST:
            return Rejected(reasons.LABEL_BAD, f"the target is beyond ±{LARGEST:.0e}; scale it")
        return None
    if kind is not bool and kind is not str and kind is not int:
        return Rejected(
            reasons.LABEL_BAD, f"a class is a boolean, a string or an integer, not {kind.__name__}"
        )
    return None
