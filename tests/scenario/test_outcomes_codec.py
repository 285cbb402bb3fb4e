"""The part of the outcome table that the bytes alone decide; what the state decides is tested with `step`."""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections.abc import Callable

import pytest

from topics import reasons
from topics.codec import (
    DEEPEST,
    LARGEST_VALUE_BYTES,
    Rejected,
    check_headers,
    decode_command,
    decode_event,
    decode_key,
    decode_label,
)
from topics.records import Event


def event(features: str = '{"x": 1}', more: str = "", event_id: str = '"a"') -> bytes:
    """An event as a producer would write it, with JSON texts put in."""
    return f'{{"event_id": {event_id}, "features": {features}{more}}}'.encode()


def nested(levels: int) -> str:
    """Arrays in arrays."""
    return "[" * levels + "]" * levels


def objects(levels: int) -> str:
    """Objects in objects."""
    return '{"":' * levels + "1" + "}" * levels


WHOLE = {
    "empty": b"",
    "tombstone": None,
    "whitespace": b" \t\r\n",
    "BOM": b"\xef\xbb\xbf" + event(),
    "UTF-16": event().decode().encode("utf-16"),
    "list at the top": b"[]",
    "number at the top": b"1",
    "string at the top": b'"a"',
    "null at the top": b"null",
    "trailing garbage": event() + b"x",
    "trailing NUL": event() + b"\x00",
    "two objects": event() + event(),
    "cut short": event()[:-1],
    "400 digits in a string, cut short": b'{"x": "' + b"9" * 400,
    "trailing comma": event('{"x": 1,}'),
    "missing event_id": b'{"features": {"x": 1}}',
    "missing features": b'{"event_id": "a"}',
    "features a list": event("[]"),
    "features null": event("null"),
    "brackets only": b"[" * 60_000,
    "brackets and escapes": b"[" * 200 + b'"' + b'\\"' * 30_000,
}
PICKLES = {
    f"pickle protocol {n}": pickle.dumps({"event_id": "a", "features": {"x": 1}}, n)
    for n in range(pickle.HIGHEST_PROTOCOL + 1)
}
NUMBERS = {
    name: event(f'{{"x": {text}}}')
    for name, text in {
        "NaN": "NaN",
        "Infinity": "Infinity",
        "-Infinity": "-Infinity",
        "1e400": "1e400",
        "-1e400": "-1e400",
        "400-digit integer": "9" * 400,
        "negative 400-digit integer": "-" + "9" * 400,
        "400-digit integer in a list": f"[{'9' * 400}]",
        "smallest integer beyond a double": str(2**1024),
        "5,000-digit integer": "9" * 5_000,
        "400-digit float": "9" * 400 + ".0",
        "leading zero": "01",
        "hexadecimal": "0x1",
    }.items()
}
IDS = {
    "integer event_id": event(event_id="1"),
    "list event_id": event(event_id='["a"]'),
    "empty event_id": event(event_id='""'),
    "event_id of 257 bytes": event(event_id=f'"{"a" * 257}"'),
    "event_id of 258 bytes in 129 characters": event(event_id=f'"{"é" * 129}"'),
    "event_id of 258 bytes, escaped": event(event_id='"' + "\\u00e9" * 129 + '"'),
}
BAD_UTF8 = {
    f"invalid UTF-8 in {place}": value
    for place, value in {
        "a value": event('{"x": "~"}'),
        "a name": event('{"~": 1}'),
        "event_id": event(event_id='"~"'),
        "the label": event(more=', "label": "~"'),
        "an unknown field": event(more=', "z": "~"'),
        "an unknown name": event(more=', "~": 1'),
    }.items()
}
PLACES: dict[str, Callable[[str], bytes]] = {
    "value": lambda text: event(f'{{"x": "{text}"}}'),
    "name": lambda text: event(f'{{"{text}": 1}}'),
    "event_id": lambda text: event(event_id=f'"{text}"'),
    "label": lambda text: event(more=f', "label": "{text}"'),
    "unknown field": lambda text: event(more=f', "z": "{text}"'),
    "unknown name": lambda text: event(more=f', "{text}": 1'),
}
LONE_SURROGATES = (
    r"\ud800",
    r"\uD800",
    r"\udc00",
    r"\udc00\ud800",
    r"\ud800\ud800",
    r"\ud800\u0041",
    r"\ud800A",
    r"\ud800\\udc00",
)
TOO_DEEP = {
    f"depth {levels:,} of {what}": event(f'{{"x": {make(levels)}}}')
    for levels in (DEEPEST, 1_000, 1_025)
    for what, make in {"arrays": nested, "objects": objects}.items()
}
TOO_DEEP["depth 1,000 in an unknown field"] = event(more=f', "z": {nested(1_000)}')
TOO_DEEP["depth 1,000, never closed"] = event('{"x": ' + "[" * 1_000)
MALFORMED = {
    **WHOLE, **PICKLES, **NUMBERS, **IDS, **TOO_DEEP,
    **{name: value.replace(b"~", b"\xff") for name, value in BAD_UTF8.items()},
    "UTF-8 of a surrogate": event('{"x": "~"}').replace(b"~", b"\xed\xa0\x80"),
    "overlong UTF-8": event('{"x": "~"}').replace(b"~", b"\xc0\x80"),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_events_are_rejected_as_such(name: str) -> None:
    """What is no JSON object of the event's form is `malformed`, told in a sentence; nothing is raised."""
    found = decode_event(MALFORMED[name])
    assert isinstance(found, Rejected)
    assert found.reason == reasons.MALFORMED
    assert 10 < len(found.message) < 300


def test_nothing_is_told_apart_from_emptiness() -> None:
    """A tombstone in an input is named as one, for it looks empty in every tool."""
    assert decode_event(None) == (reasons.MALFORMED, "the value is null (a tombstone); send a JSON object")
    assert decode_event(b"") == (reasons.MALFORMED, "the value is empty; send a JSON object")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", LONE_SURROGATES)
def test_lone_surrogates_are_malformed_wherever_they_stand(place: str, text: str) -> None:
    """Text that has no UTF-8 form is refused in any string; it would fail when an output is written."""
    found = decode_event(PLACES[place](text))
    assert isinstance(found, Rejected)
    assert found.reason == reasons.MALFORMED


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", [r"\ud83d\ude00", r"\\ud800", "é", "한"])
def test_text_with_a_utf8_form_is_accepted_wherever_it_stands(place: str, text: str) -> None:
    """Surrogate pairs, escaped backslashes and plain UTF-8 are no lone surrogates."""
    assert isinstance(decode_event(PLACES[place](text)), Event)


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 1_000_000,
        event("{" + ",".join(f'"f{i}": 1' for i in range(1_000_000)) + "}"),
        event('{"x": "' + "a" * (1 << 20) + '"}'),
        b"\xff" * (LARGEST_VALUE_BYTES + 1),
        event(objects(30_000)),
    ],
    ids=["depth of a million", "a million names", "1 MiB string", "one byte over, no text", "deep and large"],
)
def test_large_values_are_rejected_before_parsing(value: bytes) -> None:
    """Over 64 KiB is `too-large` whatever is in it, for every input."""
    for decode in (decode_event, decode_label, decode_command):
        found = decode(value)
        assert isinstance(found, Rejected)
        assert found.reason == reasons.TOO_LARGE
        assert str(len(value)) in found.message


def test_a_value_at_the_bound_is_accepted() -> None:
    """64 KiB are allowed, one byte more is not."""
    assert LARGEST_VALUE_BYTES == 64 * 1024
    filled = event('{"x": "' + "a" * (LARGEST_VALUE_BYTES - len(event('{"x": ""}'))) + '"}')
    assert len(filled) == LARGEST_VALUE_BYTES
    assert isinstance(decode_event(filled), Event)
    assert isinstance(decode_event(filled + b" "), Rejected)


@pytest.mark.parametrize("levels", [DEEPEST - 2, DEEPEST - 1, 400])
def test_depth_is_judged_alike_on_any_stack(levels: int) -> None:
    """A replay on a deep stack refuses what the live run refused; Python's own limit does not."""

    def under(frames: int) -> Event | Rejected:
        return decode_event(event(f'{{"x": {nested(levels)}}}')) if frames == 0 else under(frames - 1)

    shallow, deep = under(0), under(sys.getrecursionlimit() // 2)
    assert type(shallow) is type(deep)
    assert isinstance(shallow, Rejected) == (levels + 2 > DEEPEST)


def test_brackets_in_strings_are_not_depth() -> None:
    """A feature may hold any text, a thousand brackets and escaped quotes too."""
    text = r"\"[{" * 500
    assert isinstance(decode_event(event(f'{{"x": "{text}"}}')), Event)


def test_digits_in_strings_are_no_integer() -> None:
    """A feature may hold a long number as text."""
    assert isinstance(decode_event(event(f'{{"x": "{"9" * 400}"}}')), Event)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-0.0", -0.0),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("1e308", 1e308),
        (str(2**64), 2**64),
        ("1" + "0" * 308, 10**308),
    ],
)
def test_numbers_that_a_double_holds_are_decoded(text: str, number: float) -> None:
    """Odd but finite numbers pass the codec bit for bit; their size is a feature's matter, not JSON's."""
    found = decode_event(event(f'{{"x": {text}}}'))
    assert isinstance(found, Event)
    assert found.features["x"] == number
    assert math.copysign(1, found.features["x"]) == math.copysign(1, number)


@pytest.mark.parametrize("text", ["2", "0", "true", "1.0", '"1"', "null", "[1]"])
@pytest.mark.parametrize("features", ["{}", "[]"])
def test_another_version_is_named(text: str, features: str) -> None:
    """A record of another version is told as that, even where its fields differ as well."""
    found = decode_event(event(features, f', "v": {text}'))
    assert isinstance(found, Rejected)
    assert found.reason == reasons.MALFORMED
    assert repr(json.loads(text)) in found.message
    assert "version 1" in found.message


def test_accepted_oddities() -> None:
    """Unknown fields are ignored, of duplicate names the last wins, key order stays, white space is free."""
    found = decode_event(
        b'\n {"z": [1, {"y": null}], "event_id": "a", "event_id": "b", '
        b'"features": {"x": 1}, "features": {"q": 2, "p": 2, "q": 3}, "v": 1} \n'
    )
    assert found == Event("b", {"q": 3, "p": 2})
    assert isinstance(found, Event)
    assert list(found.features) == ["q", "p"]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, reasons.NO_KEY),
        (b"", reasons.BAD_KEY),
        (b"a" * 257, reasons.BAD_KEY),
        (b"a\x00b", reasons.BAD_KEY),
        (b"\xff", reasons.BAD_KEY),
        (b"\xed\xa0\x80", reasons.BAD_KEY),
    ],
)
def test_bad_keys(key: bytes | None, reason: str) -> None:
    """A key is 1 to 256 bytes of UTF-8 without NUL."""
    found = decode_key(key)
    assert isinstance(found, Rejected)
    assert found.reason == reason


def test_good_keys() -> None:
    """A key at the bound, and one that is not ASCII, are the entity's name."""
    assert decode_key(b"a" * 256) == "a" * 256
    assert decode_key("한/é".encode()) == "한/é"


@pytest.mark.parametrize(
    "headers",
    [[("h", b"")] * 65, [("h", b"a" * 16_384)], [("h" * 16_385, None)], [("한" * 5_462, None)]],
)
def test_many_or_giant_headers_are_too_large(headers: list[tuple[str, bytes | None]]) -> None:
    """More than 64 headers, or 16 KiB of names and values, are `too-large`."""
    found = check_headers(headers)
    assert found is not None
    assert found.reason == reasons.TOO_LARGE


@pytest.mark.parametrize(
    "headers", [None, [], [("h", None)] * 64, [("h", b"a" * 16_383)], [("\x00", b"\xff")]]
)
def test_headers_within_bounds_are_nobodys_business(headers: list[tuple[str, bytes | None]] | None) -> None:
    """Whatever a producer's tracing adds is let through."""
    assert check_headers(headers) is None
