"""What a definition says of topics that exist already: their names, and what their records mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from stream_app.errors import UsageError
from stream_app.inputs.formats import NAMES, Avro, Format, Protobuf
from stream_app.inputs.keys import FORMS
from stream_app.inputs.moments import UNITS
from stream_app.inputs.paths import named_by

FLAT = "flat"
ENVELOPES = ("debezium", "cloudevents")
PLACE = "@"  # a path that begins with it leads into the record, not into its value
PLACES = ("key", "header", "ce", "value", "offset")


class Event(msgspec.Struct):
    """What a `read` function makes of a record that is an event; `time` in epoch ms, default the record's.

    `key` names the entity, default the record's key. An event may carry its `label`.
    """

    id: str
    features: Mapping[str, Any]
    key: str | None = None
    label: Any = UNSET
    time: int | None = None


class Label(msgspec.Struct):
    """What a `read` function makes of a record that says the truth about an event; `time` as of `Event`.

    Without a `key`, it goes to the entity of the event with this id.
    """

    id: str
    label: Any
    key: str | None = None
    weight: float = 1.0
    time: int | None = None


class Meta(NamedTuple):
    """What a record is beside its value; `time_ms` is the Kafka timestamp in epoch ms."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


Read = Callable[[Any, Meta], Event | Label | None]


@dataclass(frozen=True)
class Topic:
    r"""An existing topic and what its records mean. Every path is dotted: `"pickup.lat"`, `"items.0.price"`;
    `\.` is a dot within a name: `r"http\.status"`.

    A path that begins with @ leads into the record instead: `"@key"`, `"@key.id"` of a key that is JSON,
    `"@header.trace"`, `"@offset"` (`<topic>/<partition>/<offset>`, an id for records that have none).

    `id` is the event's id (several paths: joined by colons), `key` the entity (default the record's key),
    `time` the event's time (default the record's timestamp): a number in `time_in` (s, ms, us, ns), or ISO
    8601; without an offset only where `time_in` is "UTC". `label` is the label; on a topic of events, an
    event may carry it or lack it.
    `features` are names with their paths, paths alone, or "flat" (the default): every number, string and
    boolean under its path, but what `id`, `key`, `time`, `label`, `weight` and `ignore` name; of the object
    at the path `within`, where one is given. What is null is absent.

    `where` skips records that have other values at these paths. `envelope`: "debezium" or "cloudevents".
    `keys` is how Kafka keys are written: text, int32, int64, uuid, base64 (of bytes) or json; `format` how
    values are: json, json-schema (JSON behind a Confluent header), avro (the same of Avro), `Avro(schema)` or
    `Protobuf("trips_pb2:Trip")`. `read` is a pure function (value, meta) → `Event`, `Label` or None, instead
    of the paths; None skips the record.

    With its name alone, the topic holds records of the product's own form.

    Raises:
        UsageError: it contradicts itself; the remedy names the fix.
    """

    name: str
    _: KW_ONLY
    id: str | Sequence[str] | None = None
    key: str | None = None
    time: str | None = None
    time_in: str = "ms"
    label: str | None = None
    weight: str | None = None
    features: Mapping[str, str] | Sequence[str] | None = None
    within: str | None = None
    ignore: Sequence[str] = ()
    where: Mapping[str, Any] | None = None
    envelope: str | None = None
    keys: str = "text"
    format: Format = "json"
    read: Read | None = None

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise UsageError(f"topic {self.name!r} has no name", 'Write Topic("trips", …)')
        if self.time_in not in UNITS:
            raise UsageError(
                f"topic {self.name}: time_in={self.time_in!r}", f"Choose one of {', '.join(UNITS)}"
            )
        if self.keys not in FORMS:
            raise UsageError(f"topic {self.name}: keys={self.keys!r}", f"Choose one of {', '.join(FORMS)}")
        if not isinstance(self.format, Avro | Protobuf) and self.format not in NAMES:
            raise UsageError(
                f"topic {self.name}: format={self.format!r}",
                f"Choose one of {', '.join(NAMES)}, Avro(…), Protobuf(…)",
            )
        if self.envelope is not None and self.envelope not in ENVELOPES:
            text = f"Choose one of {', '.join(ENVELOPES)}, or leave it out"
            raise UsageError(f"topic {self.name}: envelope={self.envelope!r}", text)
        if isinstance(self.features, str) and self.features != FLAT:
            text = f"Write features=[{self.features!r}], or features={FLAT!r}"
            raise UsageError(f"topic {self.name}: features={self.features!r}", text)
        if isinstance(self.ignore, str):
            raise UsageError(f"topic {self.name}: ignore={self.ignore!r}", f"Write ignore=[{self.ignore!r}]")
        if len(self.feature_paths) < len(self.features or ()) and not self.is_flat:
            text = 'Give each its own name: features={"name": "path", …}'
            raise UsageError(f"topic {self.name}: two features have one name", text)
        for path in self.paths:
            if path.startswith(PLACE) and path[len(PLACE) :].split(".")[0] not in PLACES:
                text = f"Write {f'@value.{path}'!r} for a field of that name, or one of @{', @'.join(PLACES)}"
                raise UsageError(f"topic {self.name}: no path begins with {path!r}", text)
        if self.read is not None and self.has_paths:
            text = "Let read= give everything, or leave it out"
            raise UsageError(f"topic {self.name} has read= and paths", text)
        if self.read is not None and not callable(self.read):
            raise UsageError(f"topic {self.name}: read={self.read!r}", "Give a function (value, meta)")

    @property
    def paths(self) -> list[str]:
        """Every path of the definition, to where it is a text."""
        ids = [self.id] if isinstance(self.id, str) else list(self.id or ())
        named = [*ids, self.key, self.time, self.label, self.weight, *(self.where or {})]
        return [path for path in (*named, *self.feature_paths.values()) if isinstance(path, str)]

    @property
    def has_paths(self) -> bool:
        """Whether something is said of where things are."""
        named = (
            self.id,
            self.key,
            self.time,
            self.label,
            self.weight,
            self.features,
            self.within,
            self.where,
        )
        return any(part is not None for part in named) or bool(self.ignore)

    @property
    def is_own_form(self) -> bool:
        """Whether its records are of the product's own form."""
        return not self.has_paths and self.read is None and self.envelope is None

    @property
    def is_flat(self) -> bool:
        """Whether every scalar of the value is a feature."""
        return self.features is None or self.features == FLAT

    @property
    def feature_paths(self) -> dict[str, str]:
        """The path of each feature by its name; empty where the value is taken flat."""
        if self.is_flat or self.features is None:
            return {}
        if isinstance(self.features, Mapping):
            return dict(self.features)
        return {named_by(path): path for path in self.features}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The topics that an application reads instead of `<app>.events` and `<app>.labels`.

    Several topics may feed events or labels. One topic may hold both: as one `Topic` in `events` with
    `label=` or `read=`, or as two of the same name with `where=`. Without `labels`, labels come inside of
    events, and from `<app>.labels`.

    Raises:
        UsageError: nothing to read, or a topic of labels that does not say where they are.
    """

    events: Topic | Sequence[Topic]
    labels: Topic | Sequence[Topic] = ()

    def __post_init__(self) -> None:
        if not self.event_topics:
            raise UsageError("Inputs(events=[]) reads nothing", "Name a topic of events")
        for topic in (*self.event_topics, *self.label_topics):
            if not isinstance(topic, Topic):
                raise UsageError(f"input {topic!r} is no Topic", f"Write Topic({topic!r}, …)")
        for topic in self.label_topics:
            if topic.read is None and not topic.is_own_form and (topic.label is None or topic.id is None):
                text = 'Name where they are: Topic(…, id="order_id", label="returned")'
                raise UsageError(f"topic {topic.name} of labels has no id= and label=", text)

    @property
    def event_topics(self) -> tuple[Topic, ...]:
        return (self.events,) if isinstance(self.events, Topic) else tuple(self.events)

    @property
    def label_topics(self) -> tuple[Topic, ...]:
        return (self.labels,) if isinstance(self.labels, Topic) else tuple(self.labels)

    @property
    def roles(self) -> dict[str, tuple[Topic, ...]]:
        """The topics by what they feed."""
        return {"events": self.event_topics, "labels": self.label_topics}

    @property
    def finds_keys(self) -> bool:
        """Whether labels may come without their entity, which is then that of their event."""
        return any(topic.key is None and not topic.is_own_form for topic in self.label_topics) or any(
            topic.read is not None for topic in self.event_topics
        )

    @property
    def names(self) -> list[str]:
        """Every topic once."""
        return list(dict.fromkeys(topic.name for topics in self.roles.values() for topic in topics))


class Skipped(NamedTuple):
    """A record that is neither an event nor a label, by the definition: why."""

    why: str
