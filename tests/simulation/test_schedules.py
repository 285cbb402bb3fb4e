"""Random schedules of faults in process, each judged as a run on real servers is.

`SCHEDULES_SEED=N pytest tests/simulation/test_schedules.py` begins with another seed. One that fails prints
the command that runs it alone.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.lengths import length
from tests.simulation.schedules import FAULTS, MODELS, Schedule

FIRST = int(os.environ.get("SCHEDULES_SEED", "0"))
SEEDS = int(os.environ.get("SCHEDULES", length(40, 100, 3_000)))  # of each model
LEAST = 5  # times that each fault must have come


@pytest.mark.soak
@pytest.mark.parametrize("model", MODELS)
def test_after_any_schedule_of_faults_the_judge_finds_nothing(model: str) -> None:
    """Exactly one prediction an event, each label learned once, equal to bare River and to a replay."""
    met: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + SEEDS):
        schedule = Schedule(seed, model)
        found = schedule.run()
        again = f"SCHEDULES=1 SCHEDULES_SEED={seed} pytest tests/simulation/test_schedules.py -k {model}"
        assert found == [], f"{again}\nafter {dict(schedule.met)}"
        met += schedule.met
    rare = {name: met[name] for name in FAULTS if met[name] < LEAST}
    assert not rare or LEAST * len(FAULTS) > SEEDS, f"{SEEDS} schedules did not try enough of {rare}"
