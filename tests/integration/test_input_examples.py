"""The examples that read other people's topics, each from foreign records to what was learned."""

from __future__ import annotations

import json
import random
import struct
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream_app.embedded.services import Endpoints
from tests.integration.learners import ROOT, Learners
from tests.integration.registries import registry
from tests.integration.test_registry import framed, schema

pytestmark = pytest.mark.soak(only=True)
NOW_MS = time.time_ns() // 1_000_000
N = 300
Written = tuple[str, bytes, bytes | None, int]  # topic, key, value, time


@pytest.fixture
def learners(services: Endpoints, tmp_path: Path) -> Learners:
    """Commands on the session's servers."""
    return Learners(services, tmp_path)


def through(
    learners: Learners, example: str, topics: Iterable[str], records: Iterable[Written]
) -> dict[str, Any]:
    """Write the records, bridge, learn, and give the counts of all shards."""
    target = f"{ROOT / 'examples' / example}.py:app"
    admin = AdminClient({"bootstrap.servers": learners.servers})
    for future in admin.create_topics([NewTopic(topic, 6, 1) for topic in topics]).values():
        future.result()
    producer = Producer({"bootstrap.servers": learners.servers})
    for topic, key, value, at_ms in records:
        producer.produce(topic, value, key, timestamp=at_ms)
    producer.flush(30)
    assert learners.call("topics", "create", target).code == 0
    tried = learners.call("inputs", "try", target)
    assert tried.code == 0, tried.out + tried.err
    learners.finish(learners.spawn("stream_app", "bridge", target, "--exit-when-idle", "0.5"))
    learn = ("learn", target, "--no-admission", "--exit-when-idle", "0.5")
    learners.finish(learners.spawn("stream_app", *learn))
    shards = learners.call("status", target, "--json").lines()
    assert learners.call("consume", target, "dead-letters", "--json").lines() == []
    predicted = learners.call("consume", target, "predictions", "--json").lines()
    return {"learned": sum(shard["learned"] or 0 for shard in shards), "predicted": len(predicted)}


def test_taxi(learners: Learners) -> None:
    """Two topics of six partitions, placed by another partitioner; labels are keyed by the trip's id."""
    dice = random.Random(1)

    def records() -> Iterable[Written]:
        for n in range(N):
            at_ms = NOW_MS - 600_000 + 1_000 * n
            pickup = {"ts": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(), "lat": 52.1, "lon": 13.4}
            trip = {"tripId": f"t{n}", "vendor": n % 7, "pickup": pickup, "passengers": 1 + n % 4}
            trip["payment"] = {"method": dice.choice(["card", "cash"])}
            yield "trips.completed.v1", str(n).encode(), json.dumps(trip).encode(), at_ms
            if n >= 20:
                told = {"trip_id": f"t{n - 20}", "seconds": 300 + n % 90}
                yield "trips.durations.v1", f"t{n - 20}".encode(), json.dumps(told).encode(), at_ms + 1

    counts = through(learners, "taxi", ("trips.completed.v1", "trips.durations.v1"), records())
    assert counts == {"predicted": N, "learned": N - 20}


def test_orders(learners: Learners) -> None:
    """A row is created, changed in another column, labelled by an update, and deleted at last."""

    def records() -> Iterable[Written]:
        for n in range(N):
            at_ms = NOW_MS - 600_000 + 1_000 * n
            row: dict[str, Any] = {
                "id": n,
                "customer_id": n % 9,
                "created_at": 1_000 * at_ms,
                "amount": 12.5 + n,
                "items": 1 + n % 3,
            }
            row |= {"express": n % 2 == 0, "returned": None, "note": None}
            changed, known = {**row, "note": "gift"}, {**row, "note": "gift", "returned": n % 3 == 0}
            changes = (("c", None, row), ("u", row, changed), ("u", changed, known), ("d", known, None))
            for step, (op, before, after) in enumerate(changes):
                change = {"op": op, "before": before, "after": after, "ts_ms": at_ms}
                value = json.dumps({"schema": {}, "payload": change}).encode()
                yield "shop.public.orders", json.dumps({"id": n}).encode(), value, at_ms + step
            yield "shop.public.orders", json.dumps({"id": n}).encode(), None, at_ms + 4

    counts = through(learners, "orders", ("shop.public.orders",), records())
    assert counts == {"predicted": N, "learned": N}


def test_clicks(learners: Learners) -> None:
    """One topic in Avro with three kinds of records; what is not clicked is learned as False."""
    kinds = {"type": "enum", "name": "Kind", "symbols": ["IMPRESSION", "CLICK", "VIEW"]}
    of = schema(
        kind=kinds, id="string", user="string", at="long", position="int", campaign="string", of="string"
    )

    def record(kind: str, n: int, at_ms: int, about: str = "") -> Written:
        row = {"kind": kind, "id": f"{kind}{n}", "user": f"u{n % 5}", "at": at_ms, "position": n % 8}
        row |= {"campaign": f"c{n % 3}", "of": about}
        return "ads.interactions", struct.pack(">i", n), framed(1, of, row), at_ms

    def records() -> Iterable[Written]:
        for n in range(N):
            at_ms = NOW_MS - 600_000 + 1_000 * n
            yield record("IMPRESSION", n, at_ms)
            yield record("VIEW", n, at_ms + 1)
            if n % 4 == 0:
                yield record("CLICK", n, at_ms + 500, f"IMPRESSION{n}")

    with registry() as schemas:
        schemas.register(1, of)
        learners.call.environment["STREAM_APP_REGISTRY__URL"] = schemas.url
        counts = through(learners, "clicks", ("ads.interactions",), records())
    assert counts == {"predicted": N, "learned": N // 4}
