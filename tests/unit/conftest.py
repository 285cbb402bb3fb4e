"""What several modules of unit tests need."""

from __future__ import annotations

import random
import sys
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a class as protoc makes it."""
    file = descriptor_pb2.FileDescriptorProto(name=f"trips_{random.getrandbits(40)}.proto", syntax="proto3")
    file.package = f"p{random.getrandbits(40)}"
    kind = file.enum_type.add(name="Kind")
    kind.value.add(name="CAB", number=0)
    kind.value.add(name="SHARED", number=1)
    place = file.message_type.add(name="Place")
    place.field.add(name="lat", number=1, type=1, label=1)
    trip = file.message_type.add(name="Trip")
    trip.field.add(name="id", number=1, type=9, label=1)
    trip.field.add(name="n", number=2, type=5, label=1)
    trip.field.add(name="pickup", number=3, type=11, label=1, type_name=f".{file.package}.Place")
    trip.field.add(name="kind", number=4, type=14, label=1, type_name=f".{file.package}.Kind")
    trip.field.add(name="raw", number=5, type=12, label=1)
    trip.field.add(name="stops", number=6, type=1, label=3)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    module: Any = ModuleType("trips_pb2_of_a_test")
    module.Trip = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Trip"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"{module.__name__}:Trip"
