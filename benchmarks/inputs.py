"""What it costs to read a record, by its form: µs of CPU an event, beside the bare decoder of its format.

All forms are read in turns in one process; each is the median of the rounds. `bridge` is all that the bridge
does with a record in Python, from the Kafka record to what is written.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import fastavro
import msgspec
import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict

from stream_app import Application, Avro, Event, Inputs, Protobuf, Topic
from stream_app.bridge.translation import Translator
from stream_app.bridge_port import Place
from stream_app.flow.build import flow_build
from stream_app.flow.read import read
from stream_app.inputs.mapping import Mapping
from stream_app.inputs.topic import Meta
from topics.envelope import EVENT, Record

NOW_MS = 1_795_920_616_000
N = 2_000
MOST_RATIO = 1.3  # of a mapped record to one of the product's own form
NUMBERS = {f"x{i}": 0.5 + i for i in range(6)}
SCHEMA = {
    "type": "record",
    "name": "Trip",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "vendor", "type": "string"},
        *({"name": name, "type": "double"} for name in NUMBERS),
    ],
}


def from_value(value: dict[str, Any], _: Meta) -> Event:
    """What a `read` function of a definition does."""
    return Event(value["id"], {name: value[name] for name in NUMBERS}, key=value["vendor"])


def bare_avro(body: bytes, schema: Any) -> Any:
    """What fastavro does alone."""
    return fastavro.schemaless_reader(io.BytesIO(body), schema, None)


def trip_class() -> Any:
    """The class that protoc would make of the same record, in a module that a definition can name."""
    file = descriptor_pb2.FileDescriptorProto(name="bench_trips.proto", package="bench", syntax="proto3")
    trip = file.message_type.add(name="Trip")
    types = descriptor_pb2.FieldDescriptorProto
    for number, name in enumerate(("id", "vendor", *NUMBERS), 1):
        kind = types.TYPE_DOUBLE if name in NUMBERS else types.TYPE_STRING
        trip.field.add(name=name, number=number, type=kind, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    module: Any = ModuleType("bench_trips_pb2")
    module.Trip = message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Trip"))
    sys.modules[module.__name__] = module
    return module.Trip


def cases() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """By form: reading one record, and the bare decoder of its value."""
    row = {"id": "t1", "vendor": "v4", **NUMBERS}
    own = orjson.dumps({"event_id": "t1", "features": NUMBERS, "v": 1})
    plain = orjson.dumps(row)
    nested = orjson.dumps({"id": "t1", "trip": {"vendor": "v4", **NUMBERS}})
    parsed = fastavro.parse_schema(dict(SCHEMA))
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed, row)
    avro = stream.getvalue()
    meta = Meta("trips", 0, 7, NOW_MS, b"v4", ())
    record = Record(EVENT, 7, NOW_MS, b"v4", own, None)
    decode = msgspec.json.Decoder().decode
    names = list(NUMBERS)
    flat = Mapping(Topic("trips", id="id", key="vendor"), "events")
    paths = Mapping(Topic("trips", id="id", features=names), "events")
    deep = Mapping(Topic("trips", id="id", key="trip.vendor", within="trip"), "events")
    function = Mapping(Topic("trips", read=from_value), "events")
    binary = Mapping(Topic("trips", format=Avro(SCHEMA), id="id", key="vendor"), "events")
    trip = trip_class()
    message = trip(**row).SerializeToString()
    compact = Mapping(
        Topic("trips", format=Protobuf("bench_trips_pb2:Trip", framed=False), id="id", key="vendor"), "events"
    )
    app = Application(
        name="bench",
        task="regression",
        champion=lambda seed: seed,
        inputs=Inputs(events=Topic("trips", id="id")),
    )
    translator = Translator(app, lambda: NOW_MS)
    foreign, place = Record(EVENT, 7, NOW_MS, b"v4", plain, None), Place("trips", 0, 7)
    return {
        "own form": (lambda: read(record), lambda: decode(own)),
        "JSON, flat": (lambda: flat.read_value(plain, meta), lambda: decode(plain)),
        "JSON, paths": (lambda: paths.read_value(plain, meta), lambda: decode(plain)),
        "JSON, nested": (lambda: deep.read_value(nested, meta), lambda: decode(nested)),
        "JSON, function": (lambda: function.read_value(plain, meta), lambda: decode(plain)),
        "Avro, flat": (lambda: binary.read_value(avro, meta), lambda: bare_avro(avro, parsed)),
        "Protobuf, flat": (
            lambda: compact.read_value(message, meta),
            lambda: MessageToDict(trip.FromString(message)),
        ),
        "bridge": (lambda: translator.translate(translator.read(foreign, place)), lambda: decode(plain)),
    }


def cost_us(call: Callable[[], Any]) -> float:
    """CPU of one call."""
    begun_s = time.process_time()
    for _ in range(N):
        call()
    return (time.process_time() - begun_s) / N * 1e6


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    forms = cases()
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
    for _ in range(given.rounds):
        for name, (ours, bare) in forms.items():
            costs[name].append((cost_us(ours), cost_us(bare)))
    medians = {
        name: [statistics.median(column) for column in zip(*both, strict=True)]
        for name, both in costs.items()
    }
    base = medians["own form"][0]
    rows = {name: {"us": us, "bare_us": bare, "ratio": us / base} for name, (us, bare) in medians.items()}
    if given.json:
        sys.stdout.write(json.dumps(rows) + "\n")
    else:
        sys.stdout.write(f"flow: {flow_build()}\n{'':<16}{'µs':>8}{'bare µs':>10}{'own form':>10}\n")
        for name, found in rows.items():
            sys.stdout.write(
                f"{name:<16}{found['us']:>8.2f}{found['bare_us']:>10.2f}{found['ratio']:>9.2f}x\n"
            )
    raise SystemExit(int(rows["JSON, flat"]["ratio"] > MOST_RATIO))


if __name__ == "__main__":
    main()
