"""A bridge killed at random instants: every record of the user's topics comes out once, in one place."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.bridge.translation import SOURCE
from stream_app.embedded.services import Endpoints
from stream_app.inspect.bridge_condition import waiting_labels
from stream_app.inspect.dead_letters import letter_of
from tests.faults.learners import until
from tests.faults.taxi import Taxi, kill_children
from tests.integration.learners import ROOT
from tests.integration.registries import registry
from tests.lengths import length

TRIPS = length(3_000, 3_000, 100_000)
KILLS = length(3, 3, 100)
RATE = 300  # trips a second
MORE_TRIPS, TAKES_S = length(0, 6_000, 100_000), length(0, 30, 100)
BOTH_KILLS = length(0, 4, 10)
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)


def source(record: Any) -> str:
    """Where a bridged record came from."""
    return str(dict(record.headers)[SOURCE], "utf-8")


def kept(taxi: Taxi, counts: Counter[str], vendors: dict[str, str]) -> None:
    """Every record came out once, in the right form, for the right entity."""
    events, labels = list(taxi.read(f"{taxi.name}.events")), list(taxi.read(f"{taxi.name}.labels"))
    letters = [letter_of(record) for record in taxi.read(f"{taxi.name}.dead-letters")]
    letters = [letter for letter in letters if letter.stage == "bridge"]  # a learner refuses what is late
    out = Counter(map(source, [*events, *labels]))
    out.update(f"{one.source_topic}/{one.source_partition}/{one.source_offset}" for one in letters)
    written = {
        f"{record.topic}/{record.partition}/{record.offset}"
        for topic in (taxi.trips, taxi.durations)
        for record in taxi.read(topic)
    }
    assert [place for place, n in out.items() if n > 1] == []
    assert set(out) <= written
    missing = written - set(out)
    assert len(missing) == counts["waiting"], sorted(missing)[:5]
    by_shard: dict[int, set[str]] = defaultdict(set)
    for record in events:
        value = orjson.loads(record.value)
        assert record.key.decode() == vendors[value["event_id"]]
        assert set(value["features"]) == {"lat", "passengers"}
        assert record.timestamp == taxi.start_ms + 10 * int(value["event_id"][1:])
        by_shard[record.partition].add(value["event_id"])
    for record in labels:
        value = orjson.loads(record.value)
        assert record.key.decode() == vendors[value["event_id"]]
        assert value["event_id"] in by_shard[record.partition]
    assert {letter.reason for letter in letters} <= {"unmapped", "label-orphan"}


def waiting(taxi: Taxi) -> int:
    """Labels that wait for a trip that has not come, as the bridge's own topic says in the end."""
    known: dict[str, int] = {}
    for record in taxi.read(f"{taxi.name}.bridge"):
        name, n = (record.key or b"").decode(), 0
        if any(header == "__stream_app.waiting" for header, _ in record.headers):
            n = known.get(name, 0) + 1
        elif record.value is None:
            n = max(0, known.get(name, 0) - 1)  # its oldest was given up
        known[name] = n
    return sum(known.values())


@pytest.mark.soak(long=True)
def test_no_kill_of_a_bridge_loses_or_doubles_a_record(services: Endpoints, tmp_path: Path) -> None:
    """Each is an event, a label of its event's entity, a dead letter, or a label that waits."""
    sys.stderr.write(f"FAULTS_SEED={SEED}\n")
    dice = random.Random(SEED)
    taxi = Taxi(services, tmp_path, random.Random(SEED + 1))
    feed = threading.Thread(target=taxi.write, args=(TRIPS, RATE), daemon=True)
    bridge = taxi.bridge()
    try:
        until(lambda: taxi.begun() > 0, 60.0, taxi.log.read_text)
        feed.start()
        for kill in range(KILLS):
            until(lambda kill=kill: taxi.begun() > kill, 60.0, taxi.log.read_text)  # type: ignore[misc]
            time.sleep(dice.uniform(0.0, 1.0))
            kill_children(bridge)
        feed.join()
        bridge.terminate()
        assert bridge.wait(30) in (0, 137)  # it may just have been killed
    finally:
        bridge.kill()
    last = taxi.bridge("--exit-when-idle", "1")
    assert last.wait(120) == 0, taxi.log.read_text()[-2_000:]
    kept(taxi, Counter(waiting=waiting(taxi)), taxi.vendors)
    assert waiting_labels(
        {"bootstrap_servers": [services.bootstrap_servers]}, f"{taxi.name}.bridge"
    ) == waiting(taxi)


@pytest.mark.soak(only=True)
def test_taxi_predictions_are_bare_river_s_whoever_is_killed(services: Endpoints, tmp_path: Path) -> None:
    """Avro trips, JSON durations; bridge and learner killed in turn: the judge recomputes all of it."""
    sys.stderr.write(f"FAULTS_SEED={SEED}\n")
    dice = random.Random(SEED)
    with registry() as schemas:
        taxi = Taxi(services, tmp_path, random.Random(SEED + 1), schemas)
        feed = threading.Thread(target=taxi.write, args=(MORE_TRIPS, MORE_TRIPS / TAKES_S), daemon=True)
        both = [taxi.bridge(), taxi.learner()]
        try:
            until(lambda: taxi.begun() > 0, 60.0, taxi.log.read_text)
            feed.start()
            killed = 0
            while killed < BOTH_KILLS:
                time.sleep(dice.uniform(2.0, 12.0))
                killed += kill_children(both[killed % 2])
            feed.join()
            for process in both:
                process.terminate()
                assert process.wait(60) in (0, 137)
        finally:
            for process in both:
                process.kill()
        idle = ("--exit-when-idle", "1")
        for last in (taxi.bridge(*idle), taxi.learner(*idle)):
            assert last.wait(300) == 0, taxi.log.read_text()[-2_000:]
    kept(taxi, Counter(waiting=waiting(taxi)), taxi.vendors)
    judge = [sys.executable, "-m", "tests.faults.judge", services.bootstrap_servers, taxi.target]
    done = subprocess.run(judge, env=taxi.learners.environment(), cwd=ROOT, capture_output=True, check=False)
    report = orjson.loads(done.stdout)
    assert report["violations"] == []
    assert report["counts"]["predictions"] > 0.97 * MORE_TRIPS
