"""What of a record can be judged by itself: values, names and labels. The SDK and `produce` judge by it too.

No model and no state is needed, nor the libraries that they need, so that a producer loads none.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from typing import Any, Final
from unicodedata import is_normalized

from stream_app.application import Application
from topics import reasons
from topics.codec import Rejected
from topics.records import KINDS, OTHER

# Epoch times in milliseconds pass. Ids of twenty digits are names, not numbers, and squares and products of
# what is larger lose all precision in River's linear models.
LARGEST: Final = 1e15
LARGEST_WHOLE: Final = 1_000_000_000_000_000  # as `LARGEST`, for integers
LONGEST_NAME = 64
FLAG: Final = "missing_"  # and the feature's name, where missing="flag"
NONE: Final[dict[str, bool]] = {}
SIZES: Final = (1, 1_000, 1_000_000, 1_000_000_000)  # of a time in seconds, milli-, micro- and nanoseconds
LAST_SECOND: Final = 100_000_000_000  # the year 5138; in milliseconds, 1973


class FeatureRules:
    """What a definition says of an event's own features; asking the definition itself costs ten times as
    much. `kinds` are the types that it declares, as values have them. `plain`: numbers under known names need
    no look.
    """

    def __init__(self, app: Application) -> None:
        limits, types = app.limits, dict(app.types or {})
        self.max_features = limits.max_features
        self.max_names = limits.max_feature_names
        self.max_categories = limits.max_categories
        self.missing = app.missing
        self.required = tuple(app.required)
        self.texts = frozenset(name for name, kind in types.items() if kind == "text")
        self.times = frozenset(name for name, kind in types.items() if kind == "time")
        self.codes = frozenset(name for name, kind in types.items() if kind == "category")
        self.declared = types
        self.entity = frozenset(feature.name for feature in app.features)
        self.kinds = app.kinds
        self.plain = not self.required and not self.times


def features_for_models(
    rules: FeatureRules,
    known: dict[str, str],
    unproven: Container[str],
    categories: dict[str, dict[str, bool]],
    full: bool,
    features: dict[str, Any],
) -> Any:
    """An event's own features as models see them, or the first fault, a `Rejected`.

    What is missing is left out, a time becomes seconds since 1970, a string beyond a bound becomes
    `__other__`, and so does the number of names that found no room. The same dictionary where nothing
    changes. `known` are the types that were declared or seen, by feature; another one may replace those of
    `unproven`. `categories` are the strings that were seen; `full`: no feature takes a further one.
    """
    n = len(features)
    if n > rules.max_features:
        text = f"{n} features, {rules.max_features} are allowed; write limits=Limits(max_features={n})"
        return Rejected(reasons.BAD_FEATURE, text)
    found = features
    if rules.times or rules.codes or rules.required or None in features.values():
        there: Any = present(rules, features)  # compiled, a variable has one type
        if isinstance(there, Rejected):
            return there
        found = there
    others: dict[str, Any] = {}
    unseen = surplus = 0
    for name, value in found.items():
        kind = KINDS.get(type(value))
        if kind is None or (kind == "number" and not is_in_range(value)):
            return value_fault(name, value)
        expected = known.get(name)
        if expected is None:
            fault = name_fault(rules, name)
            if fault:
                return Rejected(reasons.BAD_FEATURE, fault)
            if len(known) + unseen >= rules.max_names:
                others[name] = None
                surplus += 1
                continue
            unseen += 1
        elif expected != kind and name not in unproven:
            return other_kind(rules, name, kind, expected)
        if kind == "string" and name not in rules.texts:
            seen = categories.get(name, NONE)
            if (full or len(seen) >= rules.max_categories) and value not in seen:
                others[name] = OTHER
    if others:
        found = {name: others.get(name, value) for name, value in found.items()}
        if surplus:
            found = {name: value for name, value in found.items() if value is not None}
            found[OTHER] = surplus
    if not found and not rules.entity:
        return Rejected(reasons.BAD_FEATURE, "the event has no features; send at least one that is not null")
    return found


def present(rules: FeatureRules, features: dict[str, Any]) -> Any:
    """The features without what is null, times as seconds, the codes of categories as text; or a `Rejected`:
    what may not be missing is.
    """
    for name in rules.required:
        if features.get(name) is None:
            text = f"feature {name!r} is missing, which the definition names in required="
            return Rejected(reasons.BAD_FEATURE, text)
    found: dict[str, Any] = {}
    for name, value in features.items():
        if value is None:
            if rules.missing == "refuse":
                text = f"feature {name!r} is null, and the definition says missing='refuse'"
                return Rejected(reasons.BAD_FEATURE, text)
            if rules.missing == "flag" and FLAG + name not in features:
                found[FLAG + name] = True
        elif name in rules.times:
            moment = seconds(name, value)
            if isinstance(moment, Rejected):
                return moment
            found[name] = moment
        elif name in rules.codes and (type(value) is int or (type(value) is float and value.is_integer())):
            found[name] = str(int(value))
        else:
            found[name] = value
    return found


def value_fault(name: str, value: Any) -> Rejected:
    """Why a value can be no feature."""
    if type(value) is int or type(value) is float:
        text = f"feature {name!r} is beyond ±{LARGEST:.0e}; scale it, send an id as text, or write "
        return Rejected(reasons.BAD_FEATURE, f"{text}types={{{name!r}: 'time'}} if it is a time")
    text = f"feature {name!r} is {type(value).__name__}; send a number, a string or a boolean"
    return Rejected(reasons.BAD_FEATURE, f"{text}, its parts as features of their own")


def seconds(name: str, value: Any) -> Any:
    """A time as seconds since 1970, or a `Rejected`: ISO 8601 (UTC where it has no offset), or a number of
    seconds, milli-, micro- or nanoseconds. After 1973 its size tells which.

    >>> seconds("at", "2026-11-29T02:50:16Z"), seconds("at", 1_795_920_616_000)
    (1795920616.0, 1795920616.0)
    """
    if type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            text = f"feature {name!r} is {value[:40]!r}; a time is written by ISO 8601 or as a number"
            return Rejected(reasons.BAD_FEATURE, text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    if type(value) is float or type(value) is int:
        for unit in SIZES:
            if -LAST_SECOND * unit < value < LAST_SECOND * unit:
                return value / unit
    return Rejected(
        reasons.BAD_FEATURE, f"feature {name!r} is declared a time, and {str(value)[:40]} is none"
    )


def other_kind(rules: FeatureRules, name: str, kind: str, expected: str) -> Rejected:
    """What is wrong with a value of another type than its feature has."""
    was = (
        f"the definition says {rules.declared[name]}"
        if name in rules.declared
        else f"it was a {expected} before"
    )
    fix = f"if that is the mistake, write types={{{name!r}: {kind!r}}}"
    return Rejected(reasons.BAD_FEATURE, f"feature {name!r} is a {kind}, {was}; {fix}")


def is_known_numeric(known: dict[str, str], features: dict[str, Any], most: int) -> bool:
    """True for features that have no fault and teach nothing: numbers in range under known names.

    Nearly every event is so, and saved `features_for_models` and `vocabulary.took`.
    """
    for name, value in features.items():
        small = in_range(value) if type(value) is float else type(value) is int and is_small(value)
        if not small or known.get(name) != "number":
            return False
    return 0 < len(features) <= most


def is_in_range(value: Any) -> bool:
    """Whether a number may be a feature."""
    return in_range(value) if type(value) is float else is_small(value)


def is_small(value: int) -> bool:
    """Whether an integer is in range. A typed argument: compiled, it is compared as an integer."""
    return -LARGEST_WHOLE <= value <= LARGEST_WHOLE


def in_range(value: float) -> bool:
    """False for NaN and infinities too. A typed argument: compiled, it is compared as a C double."""
    return -LARGEST <= value <= LARGEST


def name_fault(rules: FeatureRules, name: str) -> str | None:
    """Why a feature's name cannot be taken, or None. Runs once for each new name."""
    if not name:
        return "a feature's name is empty"
    if len(name.removeprefix(FLAG)) > LONGEST_NAME:
        return f"feature name {name[:LONGEST_NAME]!r}… is longer than {LONGEST_NAME} characters"
    if name.startswith("__"):
        return f"feature name {name!r} starts with two underscores, which is reserved"
    if not is_normalized("NFC", name):
        return f"feature name {name!r} is not in Unicode form NFC"
    if name in rules.entity:
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
