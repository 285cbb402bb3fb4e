"""protobuf: messages of a class that the user's own schema was compiled to become objects."""

from __future__ import annotations

import base64
from importlib import import_module
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from stream_app.errors import UsageError
from topics import reasons
from topics.codec import LARGEST_VALUE_BYTES, Rejected

TIMESTAMP: Final = "google.protobuf.Timestamp"
WRAPPERS: Final = "google/protobuf/wrappers.proto"


def message_class(path: str) -> type[Message]:
    """The class that `module:Class` names.

    Raises:
        UsageError: there is none, or it is not a class of messages.
    """
    module, _, name = path.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"the Protobuf class {path!r} cannot be loaded ({error})",
            "Write Protobuf('trips_pb2:Trip'), a module that protoc made, beside the definition",
        ) from error
    if not isinstance(found, type) or not issubclass(found, Message):
        raise UsageError(f"{path!r} is not a class of Protobuf messages", "Write Protobuf('trips_pb2:Trip')")
    return found


def read_message(kind: type[Message], body: bytes) -> Any:
    """The object, or why there is none."""
    if len(body) > LARGEST_VALUE_BYTES:
        text = f"the value has {len(body)} bytes, {LARGEST_VALUE_BYTES} are allowed"
        return Rejected(reasons.TOO_LARGE, text)
    try:
        message = kind.FromString(body)
    except DecodeError as error:
        text = f"the value is not a {kind.DESCRIPTOR.full_name} ({error})"
        return Rejected(reasons.MALFORMED, text)
    return plain(message)


def past_indexes(body: bytes) -> bytes | Rejected:
    """What follows the list of message indexes that Confluent's serializer writes: zigzag varints."""
    count, at = varint(body, 0)
    for _ in range(count):
        if at > len(body):
            break
        _, at = varint(body, at)
    if count < 0 or at > len(body):
        return Rejected(reasons.MALFORMED, "the value ends within its list of message indexes")
    return body[at:]


def varint(body: bytes, at: int) -> tuple[int, int]:
    """A zigzag number and where it ends; beyond the end where the bytes end within it."""
    number = shift = 0
    while at < len(body):
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
    return 0, len(body) + 1


def plain(message: Message) -> dict[str, Any]:
    """Fields by name; what is not set and has presence is left out, timestamps are epoch ms."""
    found: dict[str, Any] = {}
    fields: Any = message.DESCRIPTOR.fields  # the stubs know two kinds of descriptors
    for field in fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if field.is_repeated:
            is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
            if is_map:
                inner = field.message_type.fields_by_name["value"]
                found[field.name] = {str(key): scalar(inner, part) for key, part in value.items()}
            else:
                found[field.name] = [scalar(field, part) for part in value]
        else:
            found[field.name] = scalar(field, value)
    return found


def scalar(field: Any, value: Any) -> Any:
    """One value: an enum by its name, bytes in base64, a message as its fields."""
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if field.message_type.full_name == TIMESTAMP:
            return value.seconds * 1000 + value.nanos // 1_000_000
        if field.message_type.file.name == WRAPPERS:
            return value.value
        return plain(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else int(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    return value
