"""The requests of the HTTP API of `stream-app serve`, made and their answers read by pure functions.

Raises, wherever a request is made:
    UsageError: the server would refuse it; the remedy names the fix and nothing was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec
import orjson

from stream_app.client.checks import check_id, encoded, encoded_key, epoch_ms
from topics import records
from topics.records import Model

T = TypeVar("T")


class Contribution(records.Contribution, frozen=True):
    """What one feature does to an answer; `reason` says it in words."""

    reason: str


class Explanation(records.Explanation, frozen=True):
    """An explanation as the topic has it, with reasons; `about` and `against` are None for values."""

    contributions: list[Contribution]  # type: ignore[assignment]
    about: Any = None
    against: Any = None


class Answer(msgspec.Struct, frozen=True):
    """A prediction. While the model is `cold`, `prediction` is None and `prior` is all that is known.

    `probabilities` by the class's JSON text. `stale_because` says what makes it `stale`. `recorded` says
    whether Kafka confirmed the event `event_id`, None if none was to be recorded; after False ask again under
    the same id. Of a blend, `weights` are those of its models by name, and `left_out` names those that were
    too large to be published. `explanation` stands where one was asked and the model is not cold.
    """

    key: str
    prediction: Any
    cold: bool
    model: Model
    learned: int
    shard: int
    time_ms: int
    model_age_ms: int
    feature_age_ms: int | None
    entity_known: bool
    stale: bool
    stale_because: list[str]
    fallback: bool
    probabilities: dict[str, float] | None = None
    prior: Any = None
    event_id: str | None = None
    recorded: bool | None = None
    weights: dict[str, float] | None = None
    left_out: list[str] | None = None
    explanation: Explanation | None = None


class Problem(msgspec.Struct, frozen=True):
    """Stands in a batch in the place of a row that cannot be predicted; `fix` says what to do."""

    type: str
    title: str
    status: int
    detail: str
    fix: str = ""


class EntityFeatures(msgspec.Struct, frozen=True):
    """An entity's features as a prediction now would see them."""

    key: str
    shard: int
    features: dict[str, Any]
    feature_age_ms: int | None
    entity_known: bool
    stale: bool


class Bounds(TypedDict, total=False):
    """Of a batch. `time`: epoch ms or an aware datetime, default now. Ages as in "30s" or "10m"."""

    time: int | datetime | None
    max_model_age: str | None
    max_feature_age: str | None


class Options(Bounds, total=False):
    """Of one prediction. `record` also writes the event to Kafka, so that its label can be learned. `explain`
    asks for so many features that moved the answer furthest.
    """

    event_id: str | None
    record: bool
    explain: int | None


class Ask(NamedTuple, Generic[T]):
    """One request, and how its answer is read. `instead` answers for a server that does not; None: raise."""

    method: str
    path: str
    read: Callable[[bytes], T]
    body: bytes | None = None
    instead: T | None = None


def predict(
    key: str,
    features: Mapping[str, Any],
    *,
    time: int | datetime | None = None,
    event_id: str | None = None,
    max_model_age: str | None = None,
    max_feature_age: str | None = None,
    record: bool = False,
    explain: int | None = None,
) -> Ask[Answer]:
    """One row. A recorded event gets its id here, so that the request sent twice is still one event."""
    encoded_key(key)
    if record and event_id is None:
        event_id = uuid4().hex
    if event_id is not None:
        check_id(event_id)
    named = {
        "time": epoch_ms(time),
        "event_id": event_id,
        "max_model_age": max_model_age,
        "max_feature_age": max_feature_age,
        "explain": explain,
    }
    body = encoded({"key": key, "features": features, "record": record, **given(named)})
    return Ask("POST", "/v1/predict", read_answer, body)


def predict_batch(
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    time: int | datetime | None = None,
    max_model_age: str | None = None,
    max_feature_age: str | None = None,
) -> Ask[list[Answer | Problem]]:
    """Many rows, each a key and its features."""
    stamp = given({"time": epoch_ms(time)})
    asked = []
    for key, features in rows:
        encoded_key(key)
        asked.append(orjson.Fragment(encoded({"key": key, "features": features, **stamp})))
    named = given({"max_model_age": max_model_age, "max_feature_age": max_feature_age})
    return Ask("POST", "/v1/predict/batch", read_batch, orjson.dumps({"rows": asked, **named}))


def features(key: str) -> Ask[EntityFeatures]:
    """An entity. Dots are quoted too: a key of two dots would name another route."""
    encoded_key(key)
    path = quote(key, safe="").replace(".", "%2E")
    return Ask("GET", f"/v1/features/{path}", read_features)


def feedback(
    key: str, event_id: str, label: Any, weight: float | None = None, time: int | datetime | None = None
) -> Ask[None]:
    """The truth about an event."""
    encoded_key(key)
    check_id(event_id)
    named = given({"weight": weight, "time": epoch_ms(time)})
    body = encoded({"key": key, "event_id": event_id, "label": label, **named})
    return Ask("POST", "/v1/feedback", read_written, body)


def model() -> Ask[dict[str, Any]]:
    """Which model answers."""
    return Ask("GET", "/v1/model", read_object)


def ready() -> Ask[bool]:
    """Whether every shard has a model; a server that is not there has none either."""
    return Ask("GET", "/readyz", lambda content: bool(read_object(content)["status"]), instead=False)


def given(named: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was left out: the server knows the defaults."""
    return {name: value for name, value in named.items() if value is not None}


# Readers raise ValueError or KeyError for what is no such answer; msgspec's errors are ValueErrors.
read_answer = msgspec.json.Decoder(Answer).decode
read_features = msgspec.json.Decoder(EntityFeatures).decode
read_object = msgspec.json.Decoder(dict[str, Any]).decode


def read_batch(content: bytes) -> list[Answer | Problem]:
    """The rows; only a problem has a status."""
    rows = msgspec.json.decode(content, type=dict[str, list[dict[str, Any]]])["rows"]
    return [
        msgspec.convert(row, Problem) if "status" in row else msgspec.convert(row, Answer) for row in rows
    ]


def read_written(content: bytes) -> None:
    """Nothing, if Kafka has confirmed the label."""
    if read_object(content)["written"] is not True:
        raise ValueError("written is not true")
