"""What is refused before it leaves, each with its fix: the learner could only dead-letter it later."""

from __future__ import annotations

import time as wall
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import orjson
from msgspec import UNSET

from stream_app.application import Application, Limits
from stream_app.errors import UsageError
from stream_app.flow.record_rules import FeatureRules, features_for_models, label_type_fault
from topics.catalog import FURTHEST_AHEAD_MS
from topics.codec import LARGEST_VALUE_BYTES, LONGEST_KEY_BYTES, Rejected
from topics.times import EARLIEST_MS, doubt

# A definition that allows all that some definition could allow; its feature has a name that no event's has.
ANY = SimpleNamespace(
    features=[SimpleNamespace(name="")],
    limits=Limits(max_features=1_000_000),
    types=None,
    kinds={},
    missing="skip",
    required=(),
)
JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
LONGEST_ID_BYTES = 256


def encoded_key(key: Any) -> bytes:
    """The entity's name as the learner takes it."""
    if not isinstance(key, str) or not key:
        raise UsageError(
            "a record needs a key, the entity that it is about", "Pass a non-empty string as key"
        )
    encoded = utf8(key, "the key")
    if len(encoded) > LONGEST_KEY_BYTES or b"\x00" in encoded:
        raise UsageError(
            f"the key has {len(encoded)} bytes or holds a NUL",
            f"Use at most {LONGEST_KEY_BYTES} bytes without NUL; hash what is longer",
        )
    return encoded


def check_id(event_id: Any) -> None:
    """An event's id: what joins its label, and what drops its repeats."""
    if not isinstance(event_id, str) or not event_id:
        raise UsageError(
            "an event id is a non-empty string", "Pass event_id as str, or leave it out for a new one"
        )
    if len(event_id) * 4 > LONGEST_ID_BYTES and len(utf8(event_id, "the event id")) > LONGEST_ID_BYTES:
        raise UsageError("the event id is too long", f"Use at most {LONGEST_ID_BYTES} bytes")


def event_value(event_id: str, features: Mapping[str, Any], label: Any = UNSET) -> dict[str, Any]:
    """The value of an event."""
    value: dict[str, Any] = {"v": 1, "event_id": event_id, "features": features}
    return value if label is UNSET else {**value, "label": label}


def label_value(event_id: str, label: Any, weight: float | None = None) -> dict[str, Any]:
    """The value of a label."""
    value: dict[str, Any] = {"v": 1, "event_id": event_id, "label": label}
    return value if weight is None else {**value, "weight": weight}


def rules_of(app: Application | None) -> FeatureRules:
    """What to judge features by; without a definition, by what holds for all of them."""
    return FeatureRules(app or cast(Application, ANY))


def check_features(rules: FeatureRules, features: Mapping[str, Any]) -> None:
    """What a learner judges by itself: values, their range, names; with the definition, its bounds too. None
    is a feature that is missing.

    numpy's numbers are taken as Python's, which JSON makes of them.
    """
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in features.items()}
    refuse_nan(plain)
    fault = features_for_models(rules, rules.kinds, {}, {}, False, plain)
    if isinstance(fault, Rejected):
        raise UsageError(
            fault.message, "Correct it, or leave the feature out; docs/applications.md has the rules"
        )


def check_label(app: Application | None, label: Any) -> None:
    """A label's type; with the definition, whether its task takes it."""
    plain = label.item() if hasattr(label, "item") else label
    if app is not None:
        fault = label_type_fault(app, plain)
        if fault is not None:
            raise UsageError(fault.message, "Send what the task takes; docs/applications.md has the rules")
    elif type(plain) not in (bool, int, float, str):
        what = "null" if plain is None else type(plain).__name__
        raise UsageError(f"the label is {what}", "Send a class (boolean, string, integer) or a number")


def refuse_nan(features: Mapping[str, Any]) -> None:
    """Refuse what JSON cannot carry; a missing feature is one that is left out."""
    for name, value in features.items():
        if isinstance(value, float) and value - value != 0:
            raise UsageError(
                f"feature {name!r} is {value}, which JSON cannot carry", "Send None, or leave it out"
            )


def encoded(value: dict[str, Any]) -> bytes:
    """A record's JSON."""
    refuse_nan(value.get("features", {}))
    for name in ("label", "weight"):
        part = value.get(name)
        if isinstance(part, float) and part - part != 0:
            raise UsageError(f"the {name} is {part}, which JSON cannot carry", "Send a finite number")
    try:
        body = orjson.dumps(value, option=JSON_OPTIONS)
    except TypeError as error:
        raise UsageError(
            f"the record is not JSON ({error})", "Send numbers within 64 bits, strings and booleans"
        ) from error
    if len(body) > LARGEST_VALUE_BYTES:
        raise UsageError(
            f"the record has {len(body)} bytes",
            f"Keep it within {LARGEST_VALUE_BYTES} bytes: fewer or smaller features",
        )
    return body


def epoch_ms(time: int | datetime | None) -> int | None:
    """Event time for the record's stamp; one far ahead would drag the shard's log time with it."""
    if time is None:
        return None
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise UsageError("the time has no time zone", "Pass an aware datetime, or epoch milliseconds")
        time = round(time.timestamp() * 1000)
    if not isinstance(time, int):
        raise UsageError(
            f"the time is a {type(time).__name__}", "Pass an aware datetime, or epoch milliseconds as int"
        )
    ahead_ms = time - wall.time_ns() // 1_000_000
    if ahead_ms > FURTHEST_AHEAD_MS:
        raise UsageError(
            f"the time {time} lies {ahead_ms // 1000} s ahead",
            "Pass epoch milliseconds (not micro- or nanoseconds), at most 10 minutes ahead",
        )
    if time < EARLIEST_MS:
        raise UsageError(doubt(time), "Pass epoch milliseconds (not seconds), or an aware datetime")
    return time


def utf8(text: str, what: str) -> bytes:
    """The text's bytes."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} holds a lone surrogate", "Decode it as UTF-8 where it comes from"
        ) from error
