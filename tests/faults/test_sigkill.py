"""SIGKILL at seeded random instants, on two learner processes and four shards, under the judge."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from stream_app.embedded.services import Endpoints
from tests.faults.learners import Learner, Run, running
from tests.faults.traffic import Traffic, stream
from tests.lengths import length

EVENTS = length(3_000, 3_000, 100_000)  # of each run
KILLS = int(os.environ.get("FAULTS_KILLS", length(3, 3, 100)))  # of each run
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
BLIND = 0.2  # of the kills come whenever, the others while the victim is at work
LONGEST_S = 0.8  # at work before the kill


def at_work(learner: Learner) -> bool:
    """Whether the newest child of this learner has a live shard."""
    return any(line["event"] == "shard live" for line in learner.log_of_child())


def kill(learner: Learner, dice: random.Random) -> bool:
    """Kill its child at a random instant; True if it was at work then."""
    if dice.random() > BLIND:
        learner.until(lambda _: at_work(learner))
    time.sleep(dice.uniform(0.0, LONGEST_S))
    working = at_work(learner)
    while learner.kill_child() is None:  # it is just being restarted
        time.sleep(0.02)
        working = False
    return working


@pytest.mark.soak(long=True)
@pytest.mark.parametrize(
    ("kind", "rate", "static"),
    [("numeric", 150.0, True), ("strings", 75.0, False)],
    ids=["numeric", "strings"],
)
def test_no_kill_costs_or_doubles_a_prediction_or_a_label(
    services: Endpoints, tmp_path: Path, kind: str, rate: float, static: bool
) -> None:
    """Kills at any instant: one prediction an event, one learning a label, equal to River's to the bit."""
    sys.stderr.write(f"FAULTS_SEED={SEED}\n")
    dice = random.Random(f"{SEED} {kind}")
    with running(services, tmp_path, kind) as run:
        start_ms = time.time_ns() // 1_000_000 - 2 * EVENTS
        sent = stream(kind, EVENTS, dice.randrange(1 << 31), start_ms)
        hits = assault(run, Traffic(run.servers, run.name, sent, 2 * rate), dice, static)
        assert hits >= KILLS // 2, f"only {hits} of {KILLS} kills hit a learner at work on open events"
        run.drain()
        report = run.judge("--redis", run.redis_url)
        assert report["violations"] == []
        assert report["counts"]["predictions"] == EVENTS
        proofs = run.verify()
    assert {proof["shard"] for proof in proofs} == set(range(run.shards))
    assert [proof for proof in proofs if not proof["equal"]] == []


def assault(run: Run, traffic: Traffic, dice: random.Random, static: bool) -> int:
    """Kill two learners in turn while the stream runs; how many kills hit one at work on open events."""
    names = ("a", "b")
    learners = [run.learner(*(["--instance-id", name] if static else [])) for name in names]
    for learner in learners:
        learner.until(lambda _, learner=learner: at_work(learner))  # type: ignore[misc]
    traffic.start()
    hits = 0
    for turn in range(KILLS):
        working = kill(learners[turn % 2], dice)
        hits += working and traffic.outstanding > 0
    traffic.join()
    for learner in learners:
        # 137: its supervisor is stopped before it has started a new learner for the one just killed.
        assert learner.stop() in (0, 137), learner.tail()
    return hits
