"""Models of the whole zoo on real Kafka: killed, their snapshots deleted, features that come and go."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stream_app.client import CommittedReader, EventProducer
from stream_app.embedded.services import Endpoints
from tests.faults.learners import ROOT, Learner, running
from tests.lengths import length
from tests.simulation.test_lives_replayed import BLENDS, MODELS

DICE = random.Random(int(os.environ.get("FAULTS_SEED", "19")))
CHOSEN = DICE.sample(MODELS, length(1, 1, 20))
EVENTS = 600
KILLS = 3
LATE = 20  # events between an event and its label
PAUSE_S = 0.005  # between two events


def strike(learner: Learner, snapshots: Path, dice: random.Random) -> None:
    """Kill what works, and every other time take its snapshots away."""
    if dice.random() < 0.5:
        shutil.rmtree(snapshots, ignore_errors=True)
    learner.kill_child()


@pytest.mark.soak(only=True)
@pytest.mark.parametrize(
    ("name", "task"),
    [*(model[:2] for model in CHOSEN), *((task, task) for task in BLENDS)],
    ids=[*(model[0] for model in CHOSEN), *(f"blend, {task}" for task in BLENDS)],
)
def test_a_killed_model_of_the_zoo_equals_its_replay(
    services: Endpoints, tmp_path: Path, name: str, task: str
) -> None:
    """One prediction an event, and `verify` finds every digest and one state."""
    dice = random.Random(name)
    strikes = set(dice.sample(range(EVENTS // 4, EVENTS), KILLS))
    with running(services, tmp_path, "zoo", shards=1, ZOO_MODEL=name, PYTHONPATH=str(ROOT)) as run:
        run.target = f"{Path(__file__).with_name('zoo.py')}:zoo"
        learner = run.learner()
        with EventProducer(run.name, run.servers) as producer:
            for n in range(EVENTS):
                features: dict[str, Any] = {"x": dice.uniform(0, 1)}
                features |= {one: float(round(dice.uniform(0, 5))) for one in "abc" if dice.random() < 0.5}
                producer.send("k", features, event_id=f"e{n}")
                if n >= LATE and task != "anomaly":
                    label = dice.random() < 0.3 + 0.4 * (n // 150 % 2)
                    truth: Any = label if task == "binary" else 3.0 * label + dice.random()
                    producer.label("k", f"e{n - LATE}", truth)
                if n in strikes:
                    strike(learner, run.snapshots, dice)
                time.sleep(PAUSE_S)
        assert learner.stop() in (0, 137), learner.tail()
        run.drain()
        with CommittedReader(run.servers, f"{run.name}.predictions", until_end=True) as reader:
            predicted = Counter(json.loads(record.value)["event_id"] for record in reader)
        proofs = run.verify()
    assert predicted == Counter(f"e{n}" for n in range(EVENTS))
    assert proofs
    assert [proof for proof in proofs if not proof["equal"]] == []
