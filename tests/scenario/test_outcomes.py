"""What each bad or odd record must end as: an exact reason, no trace in the memory, and all goes on."""

from __future__ import annotations

import pickle
from typing import Any

import orjson
import pytest
from river import dummy

from stream_app import features as f
from tests.scenario.shard_driver import ShardDriver, application, refused
from topics import reasons
from topics.codec import LARGEST_VALUE_BYTES
from topics.envelope import COMMAND, EVENT, LABEL, Headers


def no_change(seed: int) -> Any:
    """A model that takes any feature."""
    return dummy.NoChangeClassifier()


def event_of(features: bytes, more: bytes = b"") -> bytes:
    """An event with these bytes as its features."""
    return b'{"v":1,"event_id":"bad","features":' + features + more + b"}"


def nested(depth: int) -> bytes:
    """A record that is nested so deep in a field that nobody reads."""
    return event_of(b'{"x":1}', b',"extra":' + b"[" * depth + b"]" * depth)


def waiting_shard(**definition: Any) -> ShardDriver:
    """A shard that learned a little and has one event, `waits`, whose label has not come."""
    shard = ShardDriver(application(**definition))
    shard.warm()
    assert shard.event("waits") is None
    return shard


MALFORMED = {
    "empty": b"",
    "tombstone": None,
    "whitespace": b" \n\t ",
    "NaN": event_of(b'{"x":NaN}'),
    "Infinity": event_of(b'{"x":Infinity}'),
    "minus Infinity": event_of(b'{"x":-Infinity}'),
    "1e400": event_of(b'{"x":1e400}'),
    "400-digit integer": event_of(b'{"x":' + b"9" * 400 + b"}"),
    "byte order mark": b"\xef\xbb\xbf" + event_of(b'{"x":1}'),
    "UTF-16": event_of(b'{"x":1}').decode().encode("utf-16"),
    "invalid UTF-8 in a value": event_of(b'{"x":"\xff"}'),
    "invalid UTF-8 in a name": event_of(b'{"\xff":1}'),
    "invalid UTF-8 in an unknown field": event_of(b'{"x":1}', b',"extra":"\xff"'),
    "lone surrogate in a value": event_of(b'{"x":"\xed\xa0\x80"}'),
    "lone surrogate in a name": event_of(b'{"\xed\xa0\x80":1}'),
    "escaped lone surrogate in a value": event_of(rb'{"x":"\ud800"}'),
    "escaped lone surrogate in a name": event_of(rb'{"\ud800":1}'),
    "escaped lone surrogate in the id": rb'{"v":1,"event_id":"\udfff","features":{"x":1}}',
    "trailing garbage": event_of(b'{"x":1}') + b"!",
    "two objects": event_of(b'{"x":1}') + event_of(b'{"x":1}'),
    "two lines": event_of(b'{"x":1}') + b"\n" + event_of(b'{"x":1}'),
    "cut off": event_of(b'{"x":1}')[:-1],
    "list at the top": b"[" + event_of(b'{"x":1}') + b"]",
    "number at the top": b"1",
    "string at the top": b'"text"',
    "null at the top": b"null",
    "true at the top": b"true",
    "depth 1,000": nested(1_000),
    "depth 1,025": nested(1_025),
    "depth 1,000 in features": event_of(b'{"x":' + b"[" * 1_000 + b"]" * 1_000 + b"}"),
    "depth 1,025, unclosed": event_of(b'{"x":' + b"[" * 1_025),
    "pickle": pickle.dumps({"event_id": "bad", "features": {"x": 1}}),
    "no event_id": b'{"v":1,"features":{"x":1}}',
    "number as event_id": b'{"v":1,"event_id":7,"features":{"x":1}}',
    "null as event_id": b'{"v":1,"event_id":null,"features":{"x":1}}',
    "empty event_id": b'{"v":1,"event_id":"","features":{"x":1}}',
    "event_id of 257 characters": orjson.dumps({"event_id": "i" * 257, "features": {"x": 1}}),
    "event_id of 258 bytes": orjson.dumps({"event_id": "é" * 129, "features": {"x": 1}}),
    "features is a list": event_of(b"[1]"),
    "features is null": event_of(b"null"),
    "no features field": b'{"v":1,"event_id":"bad"}',
    "another version": b'{"v":2,"event_id":"bad","features":{"x":1}}',
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_an_event_that_is_no_record_is_malformed(value: bytes | None) -> None:
    """Bytes that are not the JSON object of the contract are dead letters and move nothing."""
    shard = ShardDriver()
    shard.warm()
    letter = refused(shard, reasons.MALFORMED, lambda to: to.raw(EVENT, value))
    assert (letter.sent.key, letter.sent.value) == (b"k", value)
    assert (letter.topic, letter.stage) == ("a.events", "validate")


LABEL_VALUES = {
    "empty": b"",
    "tombstone": None,
    "no label": b'{"v":1,"event_id":"waits"}',
    "NaN": b'{"v":1,"event_id":"waits","label":NaN}',
    "1e400": b'{"v":1,"event_id":"waits","label":1e400}',
    "negative weight": b'{"v":1,"event_id":"waits","label":true,"weight":-1}',
    "giant weight": b'{"v":1,"event_id":"waits","label":true,"weight":1e7}',
    "text as weight": b'{"v":1,"event_id":"waits","label":true,"weight":"1"}',
    "no event_id": b'{"v":1,"label":true}',
    "list at the top": b"[]",
    "escaped lone surrogate": rb'{"v":1,"event_id":"waits","label":"\ud800"}',
}


@pytest.mark.parametrize("value", LABEL_VALUES.values(), ids=LABEL_VALUES.keys())
def test_a_label_that_is_no_record_is_malformed(value: bytes | None) -> None:
    """A broken label is a dead letter, and its event goes on waiting for a whole one."""
    shard = waiting_shard()
    letter = refused(shard, reasons.MALFORMED, lambda to: to.raw(LABEL, value))
    assert letter.topic == "a.labels"
    assert shard.label("waits", True) is None
    assert shard.counters.labels_expired == 0


@pytest.mark.parametrize("value", [b"", None, b"[]", b'{"command_id":"c"}', b'{"command":"pause"}'])
def test_a_command_that_is_no_record_is_malformed(value: bytes | None) -> None:
    """A broken command is a dead letter and pauses nobody."""
    shard = ShardDriver()
    shard.warm()
    assert refused(shard, reasons.MALFORMED, lambda to: to.raw(COMMAND, value, None)).topic == "a.commands"
    assert shard.counters.dead_commands == 1


HEADERS: dict[str, Headers] = {
    "one giant value": [("h", b"x" * 16_385)],
    "one giant name": [("h" * 16_385, None)],
    "very many": [(f"h{i}", b"") for i in range(65)],
    "many that add up": [(f"h{i}", b"x" * 300) for i in range(60)],
}
WHOLE = {
    COMMAND: b'{"command_id":"c","command":"pause","actor":"me","reason":"test"}',
    EVENT: event_of(b'{"x":1}'),
    LABEL: b'{"event_id":"waits","label":true}',
}
LARGE = {
    "1 MiB string": event_of(b'{"x":"' + b"a" * (1 << 20) + b'"}'),
    "a million keys": event_of(b"{" + b",".join(b'"%d":1' % i for i in range(1_000_000)) + b"}"),
    "one byte over": event_of(b'{"x":1}') + b" " * (LARGEST_VALUE_BYTES + 1 - len(event_of(b'{"x":1}'))),
    "zeros, the content of a bomb": b"0" * (8 << 20),
    "no JSON at all": b"\xff" * (LARGEST_VALUE_BYTES + 1),
    "depth 10^6": nested(1_000_000),
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE.keys())
def test_a_large_value_is_refused_before_it_is_parsed(value: bytes) -> None:
    """Size is judged first: a value that is too large is not even called malformed."""
    shard = ShardDriver()
    shard.warm()
    refused(shard, reasons.TOO_LARGE, lambda to: to.raw(EVENT, value))


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("rank", [COMMAND, EVENT, LABEL])
def test_large_headers_are_refused(headers: Headers, rank: int) -> None:
    """Headers over 16 KiB or more than 64 of them are a dead letter, whatever the value is."""
    shard = waiting_shard()
    letter = refused(shard, reasons.TOO_LARGE, lambda to: to.raw(rank, WHOLE[rank], headers=headers))
    assert (letter.sent.headers or [])[: len(headers)] == headers


def test_a_value_at_the_bound_is_taken() -> None:
    """64 KiB is allowed, one byte more is not (see above)."""
    shard = ShardDriver()
    value = event_of(b'{"x":1}')
    assert shard.raw(EVENT, value + b" " * (LARGEST_VALUE_BYTES - len(value))) is None


KEYS = {
    "null": (None, reasons.NO_KEY),
    "empty": (b"", reasons.BAD_KEY),
    "257 bytes": (b"k" * 257, reasons.BAD_KEY),
    "NUL": (b"a\x00b", reasons.BAD_KEY),
    "not UTF-8": (b"\xff", reasons.BAD_KEY),
    "lone surrogate": (b"\xed\xa0\x80", reasons.BAD_KEY),
}


@pytest.mark.parametrize(("key", "reason"), KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("rank", [EVENT, LABEL])
def test_a_key_that_names_no_entity_is_refused(key: bytes | None, reason: str, rank: int) -> None:
    """No key and a bad key each have their own reason, for events and labels alike."""
    shard = waiting_shard()
    value = event_of(b'{"x":1}') if rank == EVENT else b'{"event_id":"waits","label":true}'
    letter = refused(shard, reason, lambda to: to.raw(rank, value, key))
    assert letter.sent.key == key


FEATURES: dict[str, tuple[str, bytes]] = {
    "object": ("x", b'{"x":{"a":1}}'),
    "list": ("x", b'{"x":[1]}'),
    "1e308": ("new", b'{"new":1e308}'),
    "-1e308": ("x", b'{"x":-1e308}'),
    "2^64": ("new", b'{"new":18446744073709551616}'),
    "2^64 in a known one": ("x", b'{"x":18446744073709551616}'),
    "300-digit integer": ("x", b'{"x":' + b"9" * 300 + b"}"),
    "just over 1e15": ("x", b'{"x":1000000000000001}'),
    "text for a learned number": ("x", b'{"x":"red"}'),
    "numeric text for a learned number": ("x", b'{"x":"1.0"}'),
    "boolean for a learned number": ("x", b'{"x":true}'),
    "text for a declared number": ("amount", b'{"amount":"1.0"}'),
    "boolean for a declared number": ("amount", b'{"amount":false}'),
    "number for a declared text": ("city", b'{"city":7}'),
    "number for a declared boolean": ("ok", b'{"ok":1}'),
    "the second one of two": ("y", b'{"x":1,"y":[1]}'),
    "empty name": ("empty", b'{"":1}'),
    "name of 65 characters": ("n" * 64, b'{"' + b"n" * 65 + b'":1}'),
    "__class__": ("__class__", b'{"__class__":1}'),
    "name not in NFC": ("NFC", '{"e\u0301":1}'.encode()),
    "name of an entity feature": ("count_10m", b'{"count_10m":1}'),
}


@pytest.mark.parametrize(("named", "features"), FEATURES.values(), ids=FEATURES.keys())
def test_a_bad_feature_is_refused_by_name(named: str, features: bytes) -> None:
    """One bad feature refuses its event; the message names the feature, or what is wrong with its name."""
    types = {"amount": "number", "city": "string", "ok": "bool"}
    shard = ShardDriver(application(types=types, features=[f.count("10m")]))
    shard.warm()
    letter = refused(shard, reasons.BAD_FEATURE, lambda to: to.raw(EVENT, event_of(features)))
    assert named in letter.message


def test_an_event_without_features_is_refused() -> None:
    """An empty object of features says nothing about its entity."""
    shard = ShardDriver()
    shard.warm()
    refused(shard, reasons.BAD_FEATURE, lambda to: to.raw(EVENT, event_of(b"{}")))


def test_257_features_are_refused_and_256_are_not() -> None:
    """The bound on features per event is exact."""
    shard = ShardDriver()
    shard.warm()
    refused(shard, reasons.BAD_FEATURE, lambda to: to.event("bad", {f"f{i}": i for i in range(257)}))
    assert shard.event("full", {f"f{i}": i for i in range(256)}) is None


def test_257_features_are_refused_though_each_is_known() -> None:
    """The bound holds for events whose names and types are no news."""
    shard = ShardDriver()
    for name in ("f", "g"):
        assert shard.event(name, {f"{name}{i}": i for i in range(200)}) is None
    known = {f"{name}{i}": i for name in "fg" for i in range(200)}
    refused(shard, reasons.BAD_FEATURE, lambda to: to.event("bad", dict(list(known.items())[:257])))
