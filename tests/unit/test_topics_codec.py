"""The codec beyond the outcome table: labels, commands, and what goes out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics import reasons
from topics.codec import (
    JSON_OPTIONS,
    Rejected,
    class_text,
    decode_command,
    decode_event,
    decode_label,
    depth,
    texts_collide,
)
from topics.records import Command, Event, Label

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.binary(max_size=400))
def test_no_bytes_make_a_decoder_raise(value: bytes) -> None:
    """Any bytes end as a record or as a rejection."""
    for decode in (decode_event, decode_label, decode_command):
        assert isinstance(decode(value), (Event, Label, Command, Rejected))


@given(JSON_VALUES, JSON_VALUES, JSON_VALUES)
def test_no_json_makes_a_decoder_raise(event_id: Any, features: Any, label: Any) -> None:
    """Any JSON in any field, NaN and lone surrogates among it, ends as a record or as a rejection."""
    value = json.dumps({"event_id": event_id, "features": features, "label": label}).encode()
    for decode in (decode_event, decode_label):
        found = decode(value)
        assert isinstance(found, (Event, Label, Rejected))
        if not isinstance(found, Rejected):
            msgspec.json.encode(found)


@given(st.lists(st.sampled_from(["[", "]", "{", "}", '"', "\\", "a", ",", ":"]), max_size=60))
def test_depth_agrees_with_a_parser(parts: list[str]) -> None:
    """For whatever is JSON, `depth` counts what a parser nests."""
    text = "".join(parts)
    try:
        value = json.loads(text)
    except ValueError:
        return

    def nested(part: Any) -> int:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
        return 0 if inner is None else 1 + max(map(nested, inner), default=0)

    assert depth(text.encode()) == nested(value)


def test_a_null_label_is_not_a_missing_one() -> None:
    """`"label": null` reaches the label's check; an absent one means that the label comes later."""
    with_null, without = (
        decode_event(b'{"event_id": "a", "features": {}, "label": null}'),
        decode_event(b'{"event_id": "a", "features": {}}'),
    )
    assert isinstance(with_null, Event)
    assert isinstance(without, Event)
    assert with_null.label is None
    assert without.label is not None


@pytest.mark.parametrize("label", [2**63, -(2**63) - 1, 2**70])
def test_integer_labels_beyond_64_bits_are_bad(label: int) -> None:
    """No output could name such a class, so it ends as `label-bad` and never reaches a model."""
    alone = decode_label(json.dumps({"event_id": "a", "label": label}).encode())
    inline = decode_event(json.dumps({"event_id": "a", "features": {}, "label": label}).encode())
    for found in (alone, inline):
        assert isinstance(found, Rejected)
        assert found.reason == reasons.LABEL_BAD


@pytest.mark.parametrize("label", [True, 1, "1", "true", 0.5, None, 2**63 - 1, -(2**63)])
def test_labels_keep_their_json_type(label: Any) -> None:
    """true, 1 and "true" are three labels."""
    found = decode_label(json.dumps({"event_id": "a", "label": label}).encode())
    assert isinstance(found, Label)
    assert found.label == label
    assert type(found.label) is type(label)
    assert found.weight == 1.0


@pytest.mark.parametrize(
    "fields",
    [
        '"weight": 1',
        '"label": NaN',
        '"label": 1e400',
        f'"label": {"9" * 400}',
        '"label": 1, "weight": null',
        '"label": 1, "weight": -1',
        '"label": 1, "weight": 1e7',
        '"label": 1, "weight": true',
        '"label": 1, "v": 2',
    ],
)
def test_malformed_labels(fields: str) -> None:
    """A label without a value that JSON carries, or with a weight outside 0 to 1e6, is `malformed`."""
    found = decode_label(f'{{"event_id": "a", {fields}}}'.encode())
    assert isinstance(found, Rejected)
    assert found.reason == reasons.MALFORMED


def test_commands() -> None:
    """A command needs id, name, actor and reason; an unknown name decodes: it is refused with an outcome."""
    value = {"command_id": "1", "command": "promote", "actor": "me", "reason": "why", "slot": "tree"}
    assert decode_command(json.dumps(value).encode()) == Command("1", "promote", "me", "why", slot="tree")
    for name in ("command_id", "command", "actor", "reason"):
        lacking = {key: text for key, text in value.items() if key != name}
        found = decode_command(json.dumps(lacking).encode())
        assert isinstance(found, Rejected)
        assert name in found.message
    longer = decode_command(json.dumps({**value, "command_id": "é" * 129}).encode())
    assert isinstance(longer, Rejected)


@pytest.mark.parametrize(
    ("label", "text"),
    [(True, "true"), (False, "false"), (1, "1"), (-1, "-1"), ("true", "true"), ("é", "é"), ("", "")],
)
def test_class_text_is_the_key_that_is_written(label: Any, text: str) -> None:
    """`probabilities` names a class as `class_text` does."""
    assert class_text(label) == text
    written = orjson.dumps({label: 1}, option=JSON_OPTIONS)
    assert written == json.dumps({text: 1}, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("classes", "collide"),
    [
        ([True, False], False),
        ([0, 1, 2], False),
        (["0", "1", "a", ""], False),
        ([], False),
        ([True, "true"], True),
        ([1, "1"], True),
        ([1, True], True),
        ([0, False], True),
        (["a", "a"], True),
    ],
)
def test_classes_that_cannot_be_told_apart_collide(classes: list[Any], collide: bool) -> None:
    """A set collides when two share their JSON text or are equal to Python, hence to River."""
    assert texts_collide(classes) is collide
    assert texts_collide(reversed(classes)) is collide
