"""Inputs written before the learner starts: the committed predictions follow from the order rule alone."""

from __future__ import annotations

import os
import secrets
import sys
import time

import pytest

from stream_app.embedded.services import Endpoints
from tests.integration.learners import Defined, Learners
from tests.integration.traffic import Traffic, awkward, write
from tests.lengths import length

pytestmark = pytest.mark.soak(long=True)

REPETITIONS = length(3, 3, 50)
SHARDS = (1, 4)
# Another one at each run, told by every failure; the variable brings one back.
SEED = int(os.environ.get("TEST_SEED") or secrets.randbelow(2**31))
AGO_MS = 60_000

Case = tuple[int, int]
CASES = [(SEED + n, shards) for n in range(REPETITIONS) for shards in SHARDS]


class Learned:
    """All cases, written first and learned then."""

    def __init__(self, learners: Learners) -> None:
        self.learners = learners
        self.apps: dict[Case, Defined] = {}
        self.traffic: dict[Case, Traffic] = {}


@pytest.fixture(scope="module")
def learned(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """Some seeds, each on one shard and on four; no learner starts before every input is complete."""
    sys.stderr.write(f"TEST_SEED={SEED}\n")
    found = Learned(Learners(services, tmp_path_factory.mktemp("order")))
    apps = found.learners.define({f"{seed} {shards}": ("logistic", shards) for seed, shards in CASES})
    start_ms = time.time_ns() // 1_000_000 - AGO_MS
    for case in CASES:
        found.apps[case] = apps[f"{case[0]} {case[1]}"]
        found.traffic[case] = awkward(*case, start_ms)
    write(services.bootstrap_servers, {found.apps[case].name: found.traffic[case] for case in CASES})
    found.learners.learn(found.apps.values())
    return found


@pytest.mark.parametrize("shards", SHARDS)
def test_the_order_rule_alone_decides(learned: Learned, shards: int) -> None:
    """Each shard committed what an independent program makes of the complete inputs, for each seed."""
    print(f"TEST_SEED={SEED}")  # noqa: T201  shown with a failure
    apps = [app for app in learned.apps.values() if app.shards == shards]
    assert len(apps) == REPETITIONS
    learned.learners.judge("rule", apps)


@pytest.mark.parametrize("shards", SHARDS)
def test_every_label_meets_its_event_whoever_produced_it(learned: Learned, shards: int) -> None:
    """Labels of another client library lie in their events' shards: none waits for ever, none is refused."""
    for case, app in learned.apps.items():
        if app.shards != shards:
            continue
        assert not learned.learners.committed(app, "dead-letters"), f"TEST_SEED={SEED}"
        newest = {stats["shard"]: stats for stats in learned.learners.committed(app, "stats")}.values()
        traffic = learned.traffic[case]
        inline = sum("label" in event.value for event in traffic.events)
        waiting = len(traffic.events) - len(traffic.labels) - inline
        assert sum(stats["waiting"]["parked"] for stats in newest) == 0, f"TEST_SEED={SEED}"
        assert sum(stats["waiting"]["pending"] for stats in newest) == waiting, f"TEST_SEED={SEED}"
