"""Bytes to typed records and back; what JSON or the contract cannot carry is rejected with a reason.

What is refused depends on the bytes alone, never on the interpreter's stack or version, since a replay must
refuse the same records. A field that the contract does not know is skipped: its syntax, encoding and depth,
and the length of its integers, are checked, nothing else is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from math import isinf
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from topics import reasons
from topics.envelope import UNREADABLE
from topics.records import LONGEST_ID_BYTES, Command, Event, Label

LARGEST_VALUE_BYTES: Final = 65_536  # judged before parsing, so that a bomb costs nothing
LARGEST_HEADERS_BYTES: Final = 16_384  # names and values together
MOST_HEADERS: Final = 64
LONGEST_KEY_BYTES: Final = 256
DEEPEST: Final = 128  # nested objects and arrays; must stay far below Python's recursion limit of 1,000
SHORT_BYTES: Final = 2 * DEEPEST  # too short to nest deeper, or for an integer beyond a double (309 digits)
CLASS_RANGE: Final = range(-(1 << 63), 1 << 63)  # integers that orjson can write, as values and as keys
JSON_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY

FRAME_BYTES: Final = 5  # of a Confluent header: a zero and a schema's id
DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
LONG_INTEGER = b"0" * 309  # the shortest run of digits that may pass the largest double, 1.8e308
# An unclosed string ends with the value, and nothing is tried twice: linear on any input.
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
BRACKET = re.compile(rb"[\[\]{}]")


class Rejected(NamedTuple):
    """Why a record cannot be taken: a code of `topics.reasons`, and a sentence for a person."""

    reason: str
    message: str


# Made by a call: compiled, a class statement would lose its annotations.
Versioned: Any = msgspec.defstruct("Versioned", [("v", Any, 1)])
read_version = msgspec.json.Decoder(Versioned).decode


def decode(value: bytes | None, parse: Callable[[bytes], Any]) -> Any:
    """The record that `parse` makes of a value, or why there is none; it never raises."""
    if not value:
        what = "null (a tombstone)" if value is None else "empty"
        return Rejected(reasons.MALFORMED, f"the value is {what}; send a JSON object")
    if len(value) > SHORT_BYTES:
        fault = long_fault(value)
        if fault is not None:
            return fault
    if not value.isascii():
        # msgspec leaves the text of unknown fields unread.
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return Rejected(reasons.MALFORMED, f"the value is not UTF-8 at byte {error.start}")
    try:
        return parse(value)
    except msgspec.MsgspecError as error:
        return Rejected(reasons.MALFORMED, explained(value) or misfit(value, error))


def explained(value: bytes) -> str | None:
    """What a value is that is often taken for JSON, or None.

    >>> explained(bytes([0, 0, 0, 0, 17]) + b"{}")
    'the value begins with a Confluent schema id (17), so it is not plain JSON; see docs/inputs.md'
    """
    if len(value) > FRAME_BYTES and value[0] == 0:
        number = int.from_bytes(value[1:FRAME_BYTES], "big")
        return (
            f"the value begins with a Confluent schema id ({number}), so it is not plain JSON; "
            "see docs/inputs.md"
        )
    for word in (b"NaN", b"Infinity"):
        if word in value and python_reads(value):
            return f"{word.decode()} is not JSON; leave the feature out"
    return None


def python_reads(value: bytes) -> bool:
    """Whether Python's json takes a value: it writes and reads NaN and infinities, which JSON lacks."""
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def long_fault(value: bytes) -> Rejected | None:
    """What only a long value can be: too large, too deep, or with an integer that no double can hold."""
    if len(value) > LARGEST_VALUE_BYTES:
        text = f"the value has {len(value)} bytes, {LARGEST_VALUE_BYTES} are allowed"
        return Rejected(reasons.TOO_LARGE, text)
    if value.count(b"{") + value.count(b"[") > DEEPEST and depth(value) > DEEPEST:
        return Rejected(reasons.MALFORMED, f"the value is nested deeper than {DEEPEST} levels")
    if LONG_INTEGER in value.translate(DIGITS_TO_ZERO):
        try:
            json.loads(value, parse_int=refuse_beyond_double)
        except OverflowError:
            return Rejected(reasons.MALFORMED, "an integer is beyond the largest double, 1.8e308")
        except ValueError:
            return None  # no JSON at all: the parser says so with the place
    return None


def depth(value: bytes) -> int:
    """How deep objects and arrays are nested, brackets in strings apart.

    >>> depth(b'{"a": [[1], 2], "b": "[[[["}')
    3
    """
    level = deepest = 0
    for bracket in BRACKET.findall(STRING.sub(b"", value)):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def refuse_beyond_double(digits: str) -> float:
    """Judge an integer without making it one, which is quadratic in its digits.

    Raises:
        OverflowError: no double holds it.
    """
    if isinf(number := float(digits)):
        raise OverflowError
    return number


def misfit(value: bytes, error: msgspec.MsgspecError) -> str:
    """A sentence about a value that does not fit; of another version it names the version, not the fields."""
    try:
        version = read_version(value).v
    except msgspec.MsgspecError:
        version = 1
    if type(version) is not int or version != 1:
        return f"the record's v is {repr(version)[:40]}, this side reads version 1"
    return f"the value does not fit: {error}"


def id_fault(name: str, text: str) -> Rejected | None:
    """An id over its bound in bytes."""
    if text.isascii() or len(text.encode()) <= LONGEST_ID_BYTES:
        return None  # the type has bounded its characters
    return Rejected(reasons.MALFORMED, f"{name} has over {LONGEST_ID_BYTES} bytes in UTF-8")


def decode_labelled(value: bytes | None, parse: Callable[[bytes], Any]) -> Any:
    """An event or a label; no output could name a label beyond 64 bits."""
    record = decode(value, parse)
    if isinstance(record, Rejected):
        return record
    if type(record.label) is int and record.label not in CLASS_RANGE:
        return Rejected(reasons.LABEL_BAD, "the label is an integer beyond 64 bits; send it as a string")
    return id_fault("event_id", record.event_id) or record


parse_event: Final = msgspec.json.Decoder(Event).decode
parse_label: Final = msgspec.json.Decoder(Label).decode
parse_command: Final = msgspec.json.Decoder(Command).decode


def decode_event(value: bytes | None) -> Event | Rejected:
    """An event, or why it cannot be taken."""
    event: Event | Rejected = decode_labelled(value, parse_event)
    return event


def decode_label(value: bytes | None) -> Label | Rejected:
    """A label, or why it cannot be taken."""
    label: Label | Rejected = decode_labelled(value, parse_label)
    return label


def decode_command(value: bytes | None) -> Command | Rejected:
    """A command, or why it cannot be taken."""
    command: Command | Rejected = decode(value, parse_command)
    if isinstance(command, Rejected):
        return command
    return id_fault("command_id", command.command_id) or command


def decode_key(key: bytes | None) -> str | Rejected:
    """The entity's name."""
    if key is None:
        return Rejected(reasons.NO_KEY, "the record has no key; set it to the entity's name")
    if not key or len(key) > LONGEST_KEY_BYTES or 0 in key:
        what = "is binary: it has a NUL" if 0 in key else f"has {len(key)} bytes"
        text = f"the key {what}; send text of 1 to {LONGEST_KEY_BYTES} bytes, or declare it (docs/inputs.md)"
        return Rejected(reasons.BAD_KEY, text)
    try:
        return key.decode()
    except UnicodeDecodeError:
        return Rejected(
            reasons.BAD_KEY, "the key is binary: it is not UTF-8; send text, or declare it (docs/inputs.md)"
        )


def check_headers(headers: Sequence[tuple[str, bytes | None]] | None) -> Rejected | None:
    """Why headers cannot be taken, or None: their number and size count, not their content."""
    if not headers:
        return None
    if headers is UNREADABLE:
        return Rejected(reasons.MALFORMED, "the name of a header is not UTF-8")
    if len(headers) > MOST_HEADERS:
        return Rejected(reasons.TOO_LARGE, f"{len(headers)} headers, {MOST_HEADERS} are allowed")
    size = sum(len(name.encode()) + len(value or b"") for name, value in headers)
    if size > LARGEST_HEADERS_BYTES:
        text = f"the headers have {size} bytes, {LARGEST_HEADERS_BYTES} are allowed"
        return Rejected(reasons.TOO_LARGE, text)
    return None


def class_text(label: Any) -> str:
    """A class as a key of `probabilities`: its JSON text, a string without its quotes.

    >>> class_text(True), class_text(1), class_text("true")
    ('true', '1', 'true')
    """
    return label if isinstance(label, str) else orjson.dumps(label).decode()


def texts_collide(classes: Iterable[Any]) -> bool:
    """True for a set whose members share a key (true and "true") or are equal in Python (true and 1).

    >>> texts_collide([True, "true"]), texts_collide([True, 1]), texts_collide(["1", "2"])
    (True, True, False)
    """
    classes = list(classes)
    return len({class_text(c) for c in classes}) < len(classes) or len(set(classes)) < len(classes)
