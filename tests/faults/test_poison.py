"""A record that kills its process, under the real supervisor and the judge; and SIGKILL while it is tried."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.client import EventProducer
from stream_app.embedded.services import Endpoints
from tests.faults.committed import read_topic
from tests.faults.definitions import POISON
from tests.faults.learners import Learner, Run, running
from tests.lengths import length

EVENTS = 120  # before the poison, so that careful mode takes about a second
BEHIND = 5  # and behind it
MOST_RESTARTS = 3
WITHIN_S = 240.0  # each restart is a new Python
DIED = "learner died, restarting"
KILLS = length(2, 2, 20)  # within careful mode
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)


def write(run: Run, first: int, n: int, poison: int | None = None) -> None:
    """Write events with their labels, one of them poison."""
    with EventProducer(run.name, {"bootstrap_servers": [run.servers]}) as producer:
        for i in range(first, first + n):
            x0 = POISON if i == poison else float(i % 7)
            producer.send("k", {"x0": x0, "x1": float(i % 3)}, str(i), i % 2 == 0)


def live(learner: Learner) -> bool:
    """Whether the newest child has a live shard."""
    return any(line["event"] == "shard live" for line in learner.log_of_child())


def careful(learner: Learner) -> bool:
    """Whether the newest child takes one record at a time."""
    return any(line["event"] == "one record at a time" for line in learner.log_of_child())


def values(run: Run, topic: str) -> list[dict[str, Any]]:
    """A topic's committed records."""
    return [
        orjson.loads(record.value or b"{}") for record in read_topic(run.servers, f"{run.name}.{topic}", 1)[0]
    ]


def settled(run: Run, events: int) -> None:
    """All are predicted but the poison, which alone is dead; judge and replay find nothing."""
    run.drain()
    report = run.judge("--redis", run.redis_url)
    assert report["violations"] == []
    assert report["counts"]["predictions"] == events - 1
    assert report["counts"]["dead_events"] == 1
    assert [proof for proof in run.verify() if not proof["equal"]] == []


def test_a_record_that_kills_the_process_is_dead_after_three_restarts_at_most(
    services: Endpoints, tmp_path: Path
) -> None:
    """It comes to a learner at rest among good ones: they are predicted, an alert tells of it once."""
    with running(services, tmp_path, "deadly", shards=1) as run:
        learner = run.learner("--instance-id", "a")
        write(run, 0, 10)
        learner.until(lambda _: live(learner), WITHIN_S)
        write(run, 10, EVENTS, poison=10 + EVENTS // 2)
        learner.until(lambda _: len(values(run, "predictions")) == 10 + EVENTS - 1, WITHIN_S)
        assert learner.stop() == 0, learner.tail()
        assert 0 < len(learner.events(DIED)) <= MOST_RESTARTS
        settled(run, 10 + EVENTS)
        told = [alert["type"] for alert in values(run, "alerts") if alert["type"] == "shard-failing"]
        assert told == ["shard-failing"]


@pytest.mark.soak(only=True)
def test_sigkill_in_careful_mode_costs_and_doubles_nothing(services: Endpoints, tmp_path: Path) -> None:
    """Killed at random instants while it takes one record at a time: the poison alone is dead in the end."""
    sys.stderr.write(f"FAULTS_SEED={SEED}\n")
    dice = random.Random(SEED)
    with running(services, tmp_path, "deadly", shards=1) as run:
        write(run, 0, EVENTS + BEHIND + 1, poison=EVENTS)
        learner = run.learner("--instance-id", "a")
        for _ in range(KILLS):
            learner.until(
                lambda _: careful(learner) or (live(learner) and values(run, "dead-letters") != []), WITHIN_S
            )
            deaths = len(learner.events(DIED))
            time.sleep(dice.uniform(0.0, 0.5))
            learner.kill_child()  # it may have died of the poison meanwhile
            learner.until(lambda _, deaths=deaths: len(learner.events(DIED)) > deaths, WITHIN_S)  # type: ignore[misc]
        learner.until(lambda _: len(values(run, "predictions")) == EVENTS + BEHIND, WITHIN_S)
        assert learner.stop() == 0, learner.tail()
        settled(run, EVENTS + BEHIND + 1)
