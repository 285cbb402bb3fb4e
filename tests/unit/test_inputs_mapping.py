"""stream_app/inputs: records as other people's producers write them are read as they are meant."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from stream_app.errors import UsageError
from stream_app.inputs.mapping import Mapping
from stream_app.inputs.topic import Event, Inputs, Label, Meta, Skipped, Topic
from topics.codec import Rejected

NOW_MS = 1_795_920_616_000


def read(
    topic: Topic, value: Any, key: bytes | None = b"k", feeds: str = "events", **meta: Any
) -> Event | Label | Skipped | Rejected:
    """What becomes of one record; a value that is no bytes is sent as JSON."""
    body = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    place = {"topic": topic.name, "partition": 2, "offset": 7, "time_ms": NOW_MS, "key": key, "headers": ()}
    return Mapping(topic, feeds).read_value(body, Meta(**{**place, **meta}))


TRIP = {
    "tripId": "t1",
    "vendor": 4,
    "pickup": {"ts": "2026-11-29T02:50:00+00:00", "lat": 52.1},
    "passengers": 2,
    "note": None,
}


def test_paths_find_id_key_time_and_features() -> None:
    """A definition names where each part is; what it does not name is left alone."""
    topic = Topic(
        "trips",
        id="tripId",
        key="vendor",
        time="pickup.ts",
        features={"lat": "pickup.lat", "passengers": "passengers", "note": "note"},
    )
    expected = Event("t1", {"lat": 52.1, "passengers": 2, "note": None}, key="4", time=NOW_MS - 16_000)
    assert read(topic, TRIP) == expected


def test_a_flat_topic_gives_every_scalar_but_what_has_another_part() -> None:
    """Objects are entered by dotted names; id, key, time and ignored parts are no features."""
    topic = Topic("trips", id="tripId", key="vendor", time="pickup.ts", ignore=["passengers"])
    found = read(topic, TRIP)
    assert isinstance(found, Event)
    assert found.features == {"pickup.lat": 52.1, "note": None}


def test_a_field_with_a_dot_in_its_name_can_be_named_beside_a_nested_one() -> None:
    """`\\.` is a dot within a name; a flat record with both is refused, for one would hide the other."""
    value = {"id": "t1", "a.b": 1, "a": {"b": 2}}
    apart = Topic("trips", id="id", features={"one": r"a\.b", "two": "a.b"})
    found = read(apart, value)
    assert isinstance(found, Event)
    assert found.features == {"one": 1, "two": 2}
    refused = read(Topic("trips", id="id"), value)
    assert isinstance(refused, Rejected)
    assert "two fields are called 'a.b'; name them apart: features={'one': 'a.b', …}" in refused.message
    left = read(Topic("trips", id="id", ignore=[r"a\.b"]), value)
    assert isinstance(left, Event)
    assert left.features == {}
    with pytest.raises(UsageError, match="two features have one name"):
        Topic("trips", id="id", features=[r"a\.b", "a.b"])


@given(st.lists(st.text(alphabet="a:\\\\", min_size=1), min_size=2, max_size=2).map(tuple), st.data())
def test_ids_of_several_parts_are_as_different_as_their_parts(
    one: tuple[str, str], data: st.DataObject
) -> None:
    """A separator within a part does not make two ids one."""
    other = data.draw(st.tuples(*[st.text(alphabet="a:\\\\", min_size=1)] * 2))
    topic = Topic("trips", id=["x", "y"])
    ids = [read(topic, dict(zip("xy", parts, strict=True))) for parts in (one, other)]
    assert all(isinstance(found, Event) for found in ids)
    assert (ids[0].id == ids[1].id) == (one == other)  # type: ignore[union-attr]


def test_a_label_of_another_topic_is_found_by_its_id() -> None:
    """Its entity is that of its event, unless the definition says where the label's own key is."""
    row = {"trip_id": 17, "seconds": 420, "w": 2, "who": "u1"}
    for key, entity in ((None, None), ("@key", "k"), ("who", "u1")):
        topic = Topic("durations", id="trip_id", label="seconds", weight="w", key=key)
        assert read(topic, row, feeds="labels") == Label("17", 420, entity, 2)


def test_an_event_may_carry_its_label_or_lack_it() -> None:
    """A null or absent label is no label yet, and it is no feature."""
    topic = Topic("orders", id="id", label="returned")
    with_label = read(topic, {"id": "a", "amount": 1.5, "returned": True})
    assert with_label == Event("a", {"amount": 1.5}, "k", True)
    for row in ({"id": "a", "amount": 1.5, "returned": None}, {"id": "a", "amount": 1.5}):
        assert read(topic, row) == Event("a", {"amount": 1.5}, "k", UNSET)


def test_where_picks_records_of_a_topic_that_holds_several_kinds() -> None:
    """The others are skipped, and what is asked for is no feature."""
    topic = Topic("all", id="id", where={"kind": "trip"})
    assert read(topic, {"id": "a", "kind": "trip", "x": 1}) == Event("a", {"x": 1}, "k")
    assert isinstance(read(topic, {"id": "a", "kind": "refund", "x": 1}), Skipped)


def test_what_is_not_known_is_null() -> None:
    """Null itself, and the NaN and infinities that Python writes, which are not JSON."""
    body = b'\xef\xbb\xbf{"id": "a", "x": NaN, "y": -Infinity, "z": null, "w": 1}'
    assert read(Topic("t", id="id"), body) == Event("a", {"x": None, "y": None, "z": None, "w": 1}, "k")


def change(op: str, after: Any, before: Any = None, **more: Any) -> dict[str, Any]:
    """A Debezium change."""
    return {
        "op": op,
        "before": before,
        "after": after,
        "source": {"table": "orders"},
        "ts_ms": NOW_MS,
        **more,
    }


ORDERS = Topic("orders", envelope="debezium", id="id", key="@key.id", label="returned")


def test_a_change_of_a_database_is_an_event_then_a_label() -> None:
    """Created and snapshot rows are events, an update that sets the label is a label, the rest is skipped."""
    key, row = b'{"id":7}', {"id": 7, "amount": 12.5, "returned": None}
    event = Event("7", {"amount": 12.5}, "7")
    assert read(ORDERS, change("c", row), key) == event
    assert read(ORDERS, change("r", row), key) == event
    assert (
        read(ORDERS, {"schema": {}, "payload": change("c", row)}, b'{"schema":{},"payload":{"id":7}}')
        == event
    )
    known = {**row, "returned": True}
    assert read(ORDERS, change("u", known, row), key) == Label("7", True, "7")
    assert read(ORDERS, change("u", known), key) == Label("7", True, "7")
    for skipped in (change("u", row, row), change("u", known, known), change("d", None, row), None):
        assert isinstance(read(ORDERS, skipped, key), Skipped)


def test_a_label_by_an_update_comes_when_the_update_does() -> None:
    """The row's own time is when its event was."""
    topic = Topic("orders", envelope="debezium", id="id", label="returned", time="at")
    row = {"id": 7, "at": NOW_MS - 5_000, "returned": None}
    event = read(topic, change("c", row))
    label = read(topic, change("u", {**row, "returned": True}, row))
    assert isinstance(event, Event)
    assert isinstance(label, Label)
    assert (event.time, label.time) == (NOW_MS - 5_000, None)


def test_a_flattened_change_is_its_row() -> None:
    """What the connector adds to it is no feature; a deleted row is skipped."""
    added = {"__op": "c", "__deleted": "false"}
    assert read(ORDERS, {"id": 7, "amount": 1.5, **added}, b'{"id":7}') == Event("7", {"amount": 1.5}, "7")
    assert isinstance(read(ORDERS, {"id": 7, "__deleted": "true"}, b'{"id":7}'), Skipped)


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_cloudevent_is_its_data(mode: str) -> None:
    """Id and time are the event's attributes, in the value or in headers."""
    topic = Topic("orders", envelope="cloudevents", where={"@ce.type": "order"})
    attributes = {"specversion": "1.0", "id": "c1", "type": "order", "time": "2026-11-29T02:50:00Z"}
    data = {"amount": 12.5}
    if mode == "structured":
        found = read(topic, {**attributes, "data": data})
    else:
        found = read(
            topic, data, headers=[(f"ce_{name}", text.encode()) for name, text in attributes.items()]
        )
    assert found == Event("c1", {"amount": 12.5}, "k", time=NOW_MS - 16_000)


@pytest.mark.parametrize(
    ("keys", "key", "entity"),
    [
        ("text", b"u1", "u1"),
        ("int32", struct.pack(">i", -7), "-7"),
        ("int64", struct.pack(">q", 7_000_000_000), "7000000000"),
        ("uuid", bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ("uuid", b"00010203-0405-0607-0809-0A0B0C0D0E0F", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ("base64", b"\x00\xff", "AP8="),
    ],
)
def test_keys_are_read_as_they_are_declared(keys: str, key: bytes, entity: str) -> None:
    """A binary key becomes the text that names the entity."""
    found = read(Topic("t", id="id", keys=keys), {"id": "a", "x": 1}, key)
    assert isinstance(found, Event)
    assert found.key == entity


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("s", 1_795_920_616),
        ("s", 1_795_920_616.0),
        ("ms", 1_795_920_616_000),
        ("us", 1_795_920_616_000_000),
        ("ns", 1_795_920_616_000_000_999),
        ("s", "1795920616"),
        ("ms", "2026-11-29T02:50:16Z"),
        ("UTC", "2026-11-29 02:50:16"),
    ],
)
def test_times_are_read_in_their_unit(unit: str, value: Any) -> None:
    """All of these are one moment."""
    found = read(Topic("t", id="id", time="at", time_in=unit), {"id": "a", "x": 1, "at": value})
    assert isinstance(found, Event)
    assert found.time == NOW_MS


@pytest.mark.parametrize(
    "how",
    [
        {"id": "in.id", "label": "in.y", "within": "in", "ignore": ["in.card"]},
        {"id": "in.id", "label": "in.y", "within": "in", "ignore": ["card"]},
        {"id": "in.id", "label": "@value.in.y", "within": "in", "ignore": ["@value.in.card"]},
    ],
)
def test_what_has_another_part_is_no_feature_wherever_it_is(how: dict[str, Any]) -> None:
    """The label among the features would be learned by heart; what lies elsewhere by that name stays."""
    value = {"id": 3, "y": 4, "in": {"id": "e1", "y": 3.5, "a": 1, "card": "4242"}}
    found = read(Topic("t", **how), value)
    assert isinstance(found, Event)
    assert (found.id, found.features, found.label) == ("e1", {"a": 1}, 3.5)
    outside = read(Topic("t", id="id", label="y", within="in"), value)
    assert isinstance(outside, Event)
    assert outside.features == value["in"]


@pytest.mark.parametrize("how", [{"time": "@timestamp"}, {"id": "@headers.x"}, {"features": ["@Value.x"]}])
def test_a_path_that_begins_with_no_place_is_refused(how: dict[str, Any]) -> None:
    """The remedy says how to name a field whose own name begins so."""
    with pytest.raises(UsageError, match="no path begins with") as refused:
        Topic("t", **how)
    assert "@value.@" in refused.value.remedy
    found = read(Topic("t", id="id", time="@value.@timestamp"), {"id": "a", "@timestamp": NOW_MS, "x": 1})
    assert isinstance(found, Event)
    assert (found.time, found.features) == (NOW_MS, {"x": 1})


def meaning(value: Any, meta: Meta) -> Event | Label | None:
    """A definition's own function."""
    if value["kind"] == "ping":
        return None
    if value["kind"] == "truth":
        return Label(value["of"], value["is"])
    return Event(f"{meta.partition}-{meta.offset}", {"x": value["x"]}, key=value.get("who"))


class Mute(Exception):  # a user's own
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("raised", [OSError(75, "too large"), RecursionError(), SystemExit(3), Mute()])
def test_whatever_a_function_raises_the_record_is_a_letter(raised: BaseException) -> None:
    """A pure function says something of the record, not of the machine; and it cannot change the record."""

    def raising(_: Any, meta: Meta) -> None:
        assert isinstance(meta.headers, tuple)
        raise raised

    found = read(Topic("t", read=raising), {"x": 1})
    assert isinstance(found, Rejected)
    assert f"read= of topic t raised {type(raised).__name__}" in found.message


@pytest.mark.parametrize("op", [[], {}, 3, None, "x"])
def test_a_debezium_change_of_no_known_kind_is_a_letter(op: Any) -> None:
    """Whatever JSON can say."""
    found = read(Topic("t", id="id", envelope="debezium"), {"op": op, "after": {"id": "a"}})
    assert isinstance(found, Rejected)
    assert "a Debezium change has c, r, u, d, t or m" in found.message


def test_a_function_may_say_what_a_record_is() -> None:
    """An event, a label, or nothing; the record's key and time stand in where it gives none."""
    topic = Topic("t", read=meaning)
    assert read(topic, {"kind": "e", "x": 1}) == Event("2-7", {"x": 1}, "k")
    assert read(topic, {"kind": "truth", "of": "2-7", "is": True}) == Label("2-7", True)
    assert isinstance(read(topic, {"kind": "ping"}), Skipped)


@pytest.mark.parametrize(
    ("topic", "value", "said"),
    [
        (Topic("t", id="id"), {"idd": 1}, "there is no 'id' in the record, which has idd"),
        (Topic("t", id="id"), {"id": 1.5}, "must be a text or an integer"),
        (Topic("t", id="@header.trace"), {"id": 1}, "'@header.trace': the record has no header of that name"),
        (
            Topic("t", id="id", key="@key.id"),
            {"id": 1},
            "'@key.id': the record's key is not JSON with that field",
        ),
        (Topic("t", id="@ce.no"), {"id": 1}, "'@ce.no': the event has no such attribute"),
        (Topic("t", id="id"), [1], "it must be an object"),
        (Topic("t", id="id", key="who"), {"id": "a", "who": None}, "the key 'who' is None"),
        (Topic("t", id="id", time="at"), {"id": "a"}, "there is no 'at'"),
        (Topic("t", id="id", time="at"), {"id": "a", "at": 1_795_920_616}, "write time_in='s'"),
        (Topic("t", id="id", time="at"), {"id": "a", "at": 1_795_920_616_000_000}, "write time_in='us'"),
        (Topic("t", id="id", time="at"), {"id": "a", "at": "2026-11-29T02:50:16"}, "write time_in='UTC'"),
        (Topic("t", id="id", time="at"), {"id": "a", "at": "yesterday"}, "not ISO 8601"),
        (Topic("t", id="id", time="at"), {"id": "a", "at": NOW_MS + 600_001}, "after the record was written"),
        (Topic("t", id="id"), {"id": "a", "items": [1]}, "ignore=['items'], or name a part: 'items.0'"),
        (Topic("t", id="id", features=["geo"]), {"id": "a", "geo": {"lat": 1}}, "name a part: 'geo.lat'"),
        (Topic("t", id="id", keys="int32"), {"id": "a"}, "int32 has 4"),
        (Topic("t", read=meaning), {"x": 1}, "raised KeyError: 'kind'"),
        (Topic("t", id="id"), b"\x00\x00\x00\x00\x11{}", "Confluent schema id (17)"),
        (Topic("t", id="id", envelope="debezium"), {"op": "x", "after": {}}, "has c, r, u, d, t or m"),
        (Topic("t", envelope="cloudevents"), {"x": 1}, "no CloudEvent"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_with_the_line_to_write(
    topic: Topic, value: Any, said: str
) -> None:
    """The sentence names the path, and what is there instead."""
    found = read(topic, value)
    assert isinstance(found, Rejected), found
    assert said in found.message


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=80),
)
ROWS = st.dictionaries(
    st.sampled_from(["id", "who", "y", "x", "z", "a.b", ""]),
    st.one_of(VALUES, st.lists(VALUES, max_size=2), st.dictionaries(st.text(max_size=3), VALUES, max_size=2)),
)


@given(row=ROWS, key=st.one_of(st.none(), st.binary(max_size=300)))
def test_the_short_way_reads_what_the_long_way_reads(row: dict[str, Any], key: bytes | None) -> None:
    """Most topics are flat rows; what is quick for them changes nothing, refusals included."""
    for topic in (
        Topic("t", id="id"),
        Topic("t", id="id", key="who"),
        Topic("t", id="id", label="y", ignore=["x"]),
    ):
        quick, thorough = Mapping(topic, "events"), Mapping(topic, "events")
        assert quick.simple
        thorough.simple = False
        body, meta = json.dumps(row).encode(), Meta("t", 2, 7, NOW_MS, key, ())
        assert quick.read_value(body, meta) == thorough.read_value(body, meta)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Topic("t", time_in="hours"), "Choose one of ms, s, us, ns, UTC"),
        (lambda: Topic("t", features="amount"), "features=['amount']"),
        (lambda: Topic("t", ignore="amount"), "ignore=['amount']"),
        (lambda: Topic("t", id="a", read=meaning), "leave it out"),
        (lambda: Topic("t", keys="avro"), "Choose one of text"),
        (lambda: Inputs(events=[]), "Name a topic of events"),
        (lambda: Inputs(events=Topic("e"), labels=Topic("l", id="a")), "label="),
    ],
)
def test_a_topic_that_contradicts_itself_is_refused_with_its_fix(wrong: Any, said: str) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError) as refusal:
        wrong()
    assert said in str(refusal.value)
