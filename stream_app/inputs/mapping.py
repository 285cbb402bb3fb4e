"""A record of a user's topic becomes an event or a label, by what the definition says of the topic.

Pure: what comes out depends on the record alone, since a replay must read the same.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from stream_app.inputs.bounds import fault_of, in_time, long_id
from stream_app.inputs.envelopes import OPENERS, ROWS, Opened, no_object
from stream_app.inputs.finders import Finder, finder, missing, named_twice
from stream_app.inputs.keys import joined, key_text, text_of
from stream_app.inputs.moments import epoch_ms, in_range
from stream_app.inputs.paths import ABSENT, SCALARS, below, follow, leaves, named_by, split
from stream_app.inputs.schemas import NoSchemas, Schemas
from stream_app.inputs.topic import PLACE, Event, Label, Meta, Read, Skipped, Topic
from stream_app.inputs.values import parser_of
from topics import reasons
from topics.codec import Rejected, decode_key

NONE: Final = NoSchemas()
PLAIN: Final = frozenset((*SCALARS, type(None)))  # of a feature: null says that it is missing
Found = Event | Label | Skipped | Rejected


class Mapping:
    """Reads decoded records of one topic; `feeds` is "events" or "labels"."""

    def __init__(self, topic: Topic, feeds: str, schemas: Schemas = NONE) -> None:
        self.topic, self.labels_alone = topic, feeds == "labels"
        self.parse, self.open = parser_of(topic.format, schemas), OPENERS[topic.envelope]
        cloud = topic.envelope == "cloudevents"
        ids = (
            (topic.id,)
            if isinstance(topic.id, str)
            else tuple(topic.id or ("@ce.id" if cloud else "@offset",))
        )
        self.id = [(path, self.find(path)) for path in ids]
        self.key = (topic.key, self.find(topic.key)) if topic.key else None
        time = topic.time or ("@ce.time" if cloud else None)
        self.time = (time, self.find(time)) if time else None
        self.label = self.find(topic.label) if topic.label else None
        self.weight = self.find(topic.weight) if topic.weight else None
        self.where = [(self.find(path), value) for path, value in (topic.where or {}).items()]
        self.features = [(name, self.find(path)) for name, path in topic.feature_paths.items()]
        self.picked = list(topic.feature_paths.items())
        self.simple = self.is_simple
        self.id_name, self.key_name, self.label_name = ids[0], topic.key or "", topic.label or ""
        self.within = split(topic.within) if topic.within else ()
        named = (*ids, topic.key, topic.time, topic.label, topic.weight, *(topic.where or {}))
        paths = [path for path in named if path]
        row = ROWS[topic.envelope]
        self.left_out = below(topic.within, [path.removeprefix(row) for path in (*paths, *topic.ignore)])
        self.left_out.update(topic.ignore)
        self.left_out = {named_by(path) for path in self.left_out}

    @property
    def is_simple(self) -> bool:
        """Whether names of a flat row say all, as for most topics of events: `by_names` reads it."""
        topic = self.topic
        named = (
            topic.key,
            topic.label,
            *((topic.id,) if isinstance(topic.id, str) else ("@",)),
            *topic.feature_paths.values(),
        )
        return (
            not self.labels_alone
            and all(path is None or not (path.startswith(PLACE) or "." in path) for path in named)
            and not any("." in path for path in topic.ignore)
            and not (
                topic.read or topic.envelope or topic.where or topic.within or topic.time or topic.weight
            )
        )

    def by_names(self, row: Any, meta: Meta) -> Event | Rejected | None:
        """What `by_paths` finds in a row of plain values, at a third of its cost; None: it has to look."""
        if type(row) is not dict:
            return None
        fields: dict[str, Any] = row
        features = fields
        if self.picked:
            features = {name: fields[path] for name, path in self.picked if path in fields}
        for part in features.values():
            if type(part) not in PLAIN:
                return None
        event_id = fields.get(self.id_name)
        key = fields.get(self.key_name) if self.key_name else key_text(meta.key, self.topic.keys)
        if type(event_id) is not str or type(key) is not str or not event_id or not key:
            return None
        fault = fault_of(event_id, key)
        if fault is not None:
            return fault
        label = fields.get(self.label_name) if self.label_name else None
        if features is fields:
            for name in self.left_out:
                fields.pop(name, None)
        return Event(event_id, features, key, UNSET if label is None else label)

    def find(self, path: str) -> Finder:
        """The finder of a path of this topic."""
        return finder(path, self.topic.keys)

    def read_value(self, value: bytes | None, meta: Meta) -> Found:
        """What a record is, from its bytes."""
        decoded: Any = self.parse(value)
        if isinstance(decoded, Rejected):
            return decoded
        if self.simple:
            found = self.by_names(decoded, meta)
            if found is not None:
                return found
        return self.read(decoded, meta)

    def read(self, value: Any, meta: Meta) -> Found:
        """What a record is; an event has its key, a label of a topic of labels may be without."""
        function = self.topic.read
        found = self.by_paths(value, meta) if function is None else self.by_function(function, value, meta)
        if isinstance(found, Rejected | Skipped):
            return found
        if found.key is not None:
            fault = decode_key(found.key.encode(errors="surrogatepass"))
        elif isinstance(found, Label) and (self.labels_alone or self.topic.read is not None):
            fault = None  # its event's key is looked up
        else:
            fault = key_text(meta.key, self.topic.keys)
            found.key = fault if type(fault) is str else ""
        if isinstance(fault, Rejected):
            return fault
        return long_id(found.id) or in_time(found, meta) or found

    def by_function(self, function: Read, value: Any, meta: Meta) -> Found:
        """What the definition's own function makes of a record."""
        try:
            found: Any = function(value, meta)
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  # pure, it says something of the record alone
            text = f"read= of topic {self.topic.name} raised {type(error).__name__}{said(error)}"
            return Rejected(reasons.UNMAPPED, text[:500])
        if found is None:
            return Skipped("read= gave None")
        if not isinstance(found, Event | Label):
            what = type(found).__name__
            return Rejected(reasons.UNMAPPED, f"read= gave a {what}; it must give Event, Label or None")
        return self.fault_of_read(found) or found

    def fault_of_read(self, found: Any) -> Rejected | None:
        """What the definition's own function gave that no topic could carry, whatever its types promise."""
        if type(found.id) is not str or not found.id or type(found.key) not in (str, type(None)):
            return Rejected(reasons.UNMAPPED, "read= gave an id or a key that is no text")
        if type(found.time) not in (int, type(None)):
            what = type(found.time).__name__
            return Rejected(reasons.BAD_TIME, f"read= gave a {what} as time; it must be epoch ms, an integer")
        if found.time is not None:
            moment = in_range(found.time, "ms", "Event.time")
            if isinstance(moment, Rejected):
                return moment
        is_label = isinstance(found, Label)  # compiled, a narrowed type would be taken at its word
        if is_label:
            is_number = type(found.weight) in (int, float)
            return (
                None if is_number else Rejected(reasons.UNMAPPED, "read= gave a weight that is not a number")
            )
        if type(found.features) is not dict or any(type(name) is not str for name in found.features):
            return Rejected(reasons.UNMAPPED, "read= gave features that are no dictionary of names")
        return self.odd_feature(found.features)

    def by_paths(self, value: Any, meta: Meta) -> Found:
        """What the paths find in a record."""
        opened = self.open(value, meta)
        if not isinstance(opened, Opened):
            return opened
        for find, wanted in self.where:
            if find(opened, value, meta) != wanted:
                return Skipped("where= names other values")
        if type(opened.row) is not dict:
            return no_object(opened.row)
        event_id = self.id_of(opened, value, meta)
        if isinstance(event_id, Rejected):
            return event_id
        label = self.label(opened, value, meta) if self.label else ABSENT
        if label is ABSENT and self.labels_alone:
            return missing(self.topic.label or "label", opened.row)
        found = self.label_of(opened, event_id, label) or self.event_of(opened, value, meta, event_id, label)
        if isinstance(found, Rejected | Skipped):
            return found
        return self.placed(found, opened, value, meta)

    def id_of(self, opened: Opened, value: Any, meta: Meta) -> str | Rejected:
        """The event's id; several parts are joined."""
        parts = []
        for path, find in self.id:
            part = find(opened, value, meta)
            if part is ABSENT:
                return missing(path, opened.row)
            if isinstance(part, Rejected):
                return part
            text = text_of(part)
            if not text:
                what = "null" if part is None else repr(part)[:40]
                return Rejected(
                    reasons.UNMAPPED, f"the id {path!r} is {what}; it must be a text or an integer"
                )
            parts.append(text)
        return joined(parts)

    def label_of(self, opened: Opened, event_id: str, label: Any) -> Label | Skipped | Rejected | None:
        """A label by itself: of a topic of labels, or a change of a row that is an event already."""
        if not self.labels_alone and not opened.is_update:
            return None
        if opened.is_update or self.topic.envelope == "debezium":
            if label is ABSENT or label is None:
                return Skipped("a change without a label")
            if opened.before is not None and follow(opened.before, split(self.topic.label or "")) == label:
                return Skipped("a change of something else than the label")
        if label is None or type(label) not in SCALARS:
            what = "null" if label is None else type(label).__name__
            return Rejected(reasons.LABEL_BAD, f"the label {self.topic.label!r} is {what}")
        return Label(event_id, label)

    def event_of(self, opened: Opened, value: Any, meta: Meta, event_id: str, label: Any) -> Event | Rejected:
        """An event, with its label where it has one."""
        features: dict[str, Any] = {}
        if self.topic.is_flat:
            row = follow(opened.row, self.within)
            if type(row) is not dict:
                return missing(self.topic.within or "", opened.row)
            twice = leaves(row, self.left_out, features)
            if twice is not None:
                return named_twice(twice)
        else:
            for name, find in self.features:
                part = find(opened, value, meta)
                if part is not ABSENT:
                    features[name] = part
        odd = self.odd_feature(features)
        if odd is not None:
            return odd
        event = Event(event_id, features)
        if label is not ABSENT and label is not None:
            event.label = label
        return event

    def odd_feature(self, features: dict[str, Any]) -> Rejected | None:
        """What is wrong with the first feature that is an object or a list."""
        for name, part in features.items():
            if type(part) not in PLAIN:
                return self.no_scalar(name, part)
        return None

    def no_scalar(self, name: str, part: Any) -> Rejected:
        """A feature that is an object or a list, with the line to write."""
        what = "a list" if type(part) is list else "an object" if type(part) is dict else type(part).__name__
        path = self.topic.feature_paths.get(name, name)
        inner = next(iter(part), "name") if type(part) is dict else "0"
        fix = f"leave it out by ignore=[{path!r}], or name a part: {f'{path}.{inner}'!r}"
        return Rejected(reasons.BAD_FEATURE, f"feature {name!r} is {what}; {fix}")

    def placed(self, found: Event | Label, opened: Opened, value: Any, meta: Meta) -> Found:
        """The same with the key, the time and the weight that the paths name."""
        if self.key is not None:
            path, find = self.key
            part = find(opened, value, meta)
            if isinstance(part, Rejected):
                return part
            found.key = text_of(part)
            if not found.key:
                text = f"the key {path!r} is {repr(part)[:40]}; it must be a text or an integer"
                return missing(path, opened.row) if part is ABSENT else Rejected(reasons.BAD_KEY, text)
        if self.time is not None and not opened.is_update:  # an update comes when its record does
            path, find = self.time
            moment = find(opened, value, meta)
            if moment is not ABSENT:
                ms = epoch_ms(moment, self.topic.time_in, path)
                if isinstance(ms, Rejected):
                    return ms
                found.time = ms
            elif self.topic.time:
                return missing(path, opened.row)
        if self.weight is not None and isinstance(found, Label):
            weight = self.weight(opened, value, meta)
            if type(weight) in (int, float):
                found.weight = weight
            elif weight is not ABSENT and weight is not None:
                return Rejected(reasons.UNMAPPED, f"the weight {self.topic.weight!r} is not a number")
        return found


def said(error: BaseException) -> str:
    """What an exception says, if it can."""
    try:
        return f": {error}"
    except Exception:  # noqa: BLE001  # a class of the user's own
        return ""
