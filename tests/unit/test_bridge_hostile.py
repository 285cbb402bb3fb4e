"""What nobody meant to send: damaged records of each form end as dead letters, and move nothing."""

from __future__ import annotations

import io
import json
import random
import struct
import sys
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from stream_app.application import Application, Avro, Inputs, Protobuf, Topic
from stream_app.bridge.translation import Translator
from stream_app.bridge_port import Place, Routed
from stream_app.flow.read import read
from stream_app.inputs.schemas import Schema
from stream_app.inputs.topic import Event, Label, Meta
from topics import reasons
from topics.codec import Rejected
from topics.envelope import EVENT, Headers, Record
from topics.fitting import HEADER

N = 10_000  # of each form
NOW_MS = 1_795_920_616_000
TRIP = {
    "type": "record",
    "name": "Trip",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "n", "type": ["null", "long"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "place", "type": {"type": "map", "values": "double"}},
    ],
}
ROW = {"id": "t1", "n": 3, "tags": ["a", "b"], "place": {"lat": 52.5}}
CHANGE = {"op": "u", "before": {"id": "t1", "n": 1}, "after": {"id": "t1", "n": 3}, "source": {}, "ts_ms": 1}
CLOUD = {"specversion": "1.0", "id": "t1", "source": "/x", "type": "trip", "data": {"n": 3}}
OWN = {"event_id": "t1", "features": {"n": 3, "note": "x"}, "label": True}
BOMBS = [
    b"[" * 30_000,
    b'{"a":' * 5_000,
    b'{"id": "t1", "n": ' + b"9" * 20_000 + b"}",
    b'{"id": "t1", ' + b", ".join(b'"f%d": 1' % n for n in range(5_000)) + b"}",
    b"\x00" * 60_000,
    b"\xff" * 60_000,
    b'"' + b"\\u0000" * 9_000 + b'"',
    b"",
    None,
]


class Known:
    """A registry that knows one schema, of a trip."""

    def schema(self, number: int) -> Schema | Rejected:
        if number == 1:
            return Schema("AVRO", json.dumps(TRIP))
        return Rejected(reasons.MALFORMED, f"the schema registry does not know schema {number}")


def avro() -> bytes:
    """A trip in Avro."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(dict(TRIP)), ROW)
    return stream.getvalue()


def protobuf(path: str) -> bytes:
    """A trip in Protobuf."""
    kind: Any = sys.modules[path.partition(":")[0]].Trip
    message = kind(id="t1", n=3, kind=1, raw=b"x", stops=[1.5])
    message.pickup.lat = 52.5
    body: bytes = message.SerializeToString()
    return body


FORMS: dict[str, tuple[dict[str, Any], bytes]] = {
    "own": ({}, json.dumps(OWN).encode()),
    "flat": ({"id": "id", "label": "n", "ignore": ["tags"]}, json.dumps(ROW).encode()),
    "paths": (
        {"id": "id", "features": ["place.lat", "tags.0"], "time": "n"},
        json.dumps({**ROW, "n": NOW_MS}).encode(),
    ),
    "debezium": ({"id": "id", "envelope": "debezium"}, json.dumps(CHANGE).encode()),
    "cloudevents": ({"envelope": "cloudevents"}, json.dumps(CLOUD).encode()),
    "json-schema": (
        {"id": "id", "format": "json-schema", "ignore": ["tags"]},
        b"\0\0\0\0\1" + json.dumps(ROW).encode(),
    ),
    "avro": ({"id": "id", "format": "avro", "ignore": ["tags"]}, b"\0\0\0\0\1" + avro()),
    "bare avro": ({"id": "id", "format": Avro(TRIP), "ignore": ["tags"]}, avro()),
}


def damaged(value: bytes, dice: random.Random) -> bytes | None:
    """The value after one to three accidents, or a bomb."""
    if dice.random() < 0.01:
        return dice.choice(BOMBS)
    body = bytearray(value)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(body) + 1)
        match dice.randrange(5):
            case 0:
                del body[at:]
            case 1:
                body[at:at] = dice.randbytes(dice.randint(1, 8))
            case 2 if body:
                body[at % len(body)] = dice.randrange(256)
            case 3:
                del body[at : at + dice.randint(1, 8)]
            case _:
                body[:5] = struct.pack(">BI", dice.choice([0, 0, 1]), dice.choice([1, 2, 1 << 31]))
    return bytes(body)


def hostile(value: bytes, dice: random.Random) -> Record:
    """A record with this value, damaged, and now and then an odd key, time or header."""
    odd = dice.random() < 0.1
    key = dice.choice([None, b"", b"\xff\xfe", b"k" * 300, b"a\0b", b"7"]) if odd else b"k"
    time_ms = dice.choice([-1, 0, 1_795_920_616, NOW_MS + 10**9, 1 << 62]) if odd else NOW_MS
    odd_headers: list[Headers] = [[], [("h", None)], [("h", b"\xff" * 20_000)], [("ce_id", b"\xff")]]
    headers = dice.choice(odd_headers) if odd else None
    return Record(EVENT, dice.randrange(1 << 40), time_ms, key, damaged(value, dice), headers)


def judged(routed: list[Routed]) -> bool:
    """Whether a record was taken; what is written the learner can read, a letter has a known reason."""
    for one in routed:
        if one.topic == "events":
            found = read(Record(EVENT, 0, one.time_ms, one.key, one.value, one.headers))
            assert not isinstance(found, Rejected), found
        if one.topic == "dead_letters":
            said = dict(one.headers or [])
            assert (said[f"{HEADER}reason"] or b"").decode() in reasons.REASONS
            assert said[f"{HEADER}message"]
    return all(one.topic != "dead_letters" for one in routed)


@pytest.mark.parametrize("form", [*FORMS, "protobuf", "bare protobuf"])
def test_ten_thousand_damaged_records_are_letters_or_what_a_learner_reads(form: str, trips: str) -> None:
    """None raises; what was refused has left nothing behind."""
    if form in FORMS:
        how, value = FORMS[form]
    else:
        framed = form == "protobuf"
        how = {"id": "id", "format": Protobuf(trips, framed=framed), "ignore": ["stops"]}
        value = (b"\0\0\0\0\1\0" if framed else b"") + protobuf(trips)
    labels = Topic("labels", id="id", label="n")
    app = Application(
        name="a",
        task="regression",
        shards=3,
        champion=lambda seed: seed,
        inputs=Inputs(events=Topic("trips", **how), labels=labels),
    )
    all_of_them, taken_alone = (Translator(app, lambda: NOW_MS, Known()) for _ in range(2))
    dice = random.Random(form)
    whole = all_of_them.read(Record(EVENT, 0, NOW_MS, b"k", value, None), Place("trips", 0, 0))
    assert not isinstance(whole.found, Rejected), whole.found
    taken = 0
    for _ in range(N):
        record = hostile(value, dice)
        place = Place("trips", 0, record.offset)
        if judged(all_of_them.translate(all_of_them.read(record, place))):
            taken_alone.translate(taken_alone.read(record, place))
            taken += 1
    assert 0 < taken < N
    assert all_of_them.keys.keys == taken_alone.keys.keys
    assert all_of_them.keys.n_waiting == taken_alone.keys.n_waiting
    assert all_of_them.keys.clock_ms == taken_alone.keys.clock_ms


HUGE = 123_456_789_012_345_678_901_234_567_890
ODD: list[Any] = [
    HUGE,
    -HUGE,
    1 << 63,
    1e306,
    -1e306,
    float("nan"),
    float("inf"),
    "\ud800",
    "",
    " ",
    "x" * 70_000,
]
ODD += [[], {}, [HUGE], {"a": HUGE}, None, True, False, -1, 0.5, "\0", "9" * 5_000]
NO_JSON: list[Any] = [Decimal("1.5"), {1, 2}, b"x", object(), 1j, {1: 2}]
FIELDS = ["id", "who", "at", "n", "y", "w"]


def what_it_says(value: Any, _: Meta) -> Event | Label:
    """A function of a definition that passes everything on as it came."""
    if value["kind"] == "label":
        return Label(value["id"], value["y"], value["who"], value["w"], value["at"])
    return Event(value["id"], value["n"], value["who"], value["y"], value["at"])


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("time_in", ["ms", "s", "us", "ns", "UTC"])
def test_odd_values_are_letters_or_what_a_learner_reads(field: str, time_in: str) -> None:
    """Of each field, in an event and in a label: whatever JSON can say."""
    paths: dict[str, Any] = {"id": "id", "key": "who", "time": "at", "time_in": time_in, "label": "y"}
    events = Topic("trips", **paths)
    translator = translator_of(Inputs(events=events, labels=Topic("labels", weight="w", **paths)))
    row = {"id": "t1", "who": "k", "at": "2026-11-29T02:50:16Z", "n": 1, "y": 2, "w": 1.0}
    for n, odd in enumerate(ODD):
        body = json.dumps({**row, field: odd}).encode()
        for topic in ("trips", "labels"):
            record = Record(EVENT, n, NOW_MS, b"k", body, None)
            judged(translator.translate(translator.read(record, Place(topic, 0, n))))


@pytest.mark.parametrize("kind", ["event", "label"])
@pytest.mark.parametrize("field", FIELDS)
def test_odd_values_of_a_function_are_letters_or_what_a_learner_reads(
    field: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a function of the definition gives, also what JSON cannot say."""
    translator = translator_of(Inputs(events=Topic("trips", read=what_it_says)))
    row = {"kind": kind, "id": "t1", "who": "k", "at": NOW_MS, "n": {"x": 1}, "y": 2, "w": 1.0}
    (mapping,) = translator.mappings["trips"]
    for n, odd in enumerate([*ODD, *NO_JSON, *({"x": one} for one in (*ODD, *NO_JSON))]):
        monkeypatch.setattr(mapping, "parse", lambda _, odd=odd: {**row, field: odd})
        record = Record(EVENT, n, NOW_MS, b"k", b"{}", None)
        judged(translator.translate(translator.read(record, Place("trips", 0, n))))


def translator_of(inputs: Inputs) -> Translator:
    """Of an application that reads these."""
    app = Application(name="a", task="regression", shards=3, champion=lambda seed: seed, inputs=inputs)
    return Translator(app, lambda: NOW_MS, Known())
