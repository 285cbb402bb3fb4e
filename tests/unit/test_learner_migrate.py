"""What an upgrade carries over: a model that answers as it was saved, whatever the machine's last bits."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.errors import MACHINE
from stream_app.learner.history.migrate import MigrationReport, carry
from stream_app.learner.recovery.snapshots import answers
from stream_app.state.shard import ShardState
from tests.scenario.shard_driver import ShardDriver, application

PRINTS: dict[str, Any] = {
    "definition": {
        "task": "binary", "slots": {"champion": "0"}, "features": "0", "drift": "0", "swap": "0",
    },
}  # fmt: skip


def saved() -> dict[str, Any]:
    """What a snapshot holds after some lessons."""
    shard = ShardDriver(application())
    shard.state.sample_rows.append({"x": 0.5, "y": 1})
    shard.warm(20)
    return {"state": shard.state}


ANSWERS = answers(application(), saved()["state"])


def carried(found: Any) -> tuple[ShardState, MigrationReport]:
    """The upgrade's state, and what came along."""
    started = MigrationReport()
    head = {"fingerprint": PRINTS, "answers": ANSWERS}
    state = carry(application(), 0, head, PRINTS, lambda: found, started)
    return state, started


@pytest.mark.parametrize(("moved", "lives"), [(0.0, True), (1e-15, True), (1e-3, False)])
def test_the_last_digits_of_an_answer_may_differ(moved: float, lives: bool) -> None:
    """Another C library computes other last bits: what was learned goes on. Other answers start it fresh."""
    found = saved()
    state: ShardState = found["state"]
    model = state.champion.model["LogisticRegression"]
    model.intercept += moved
    started = carried(found)[1]
    assert ("champion" in started.carried) is lives
    assert ("champion" in started.fresh) is not lives


@pytest.mark.parametrize("error", MACHINE)
def test_a_machine_without_memory_loses_no_model(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upgrade fails and can be run again; it does not start the model fresh."""
    found = saved()
    state: ShardState = found["state"]

    def starve(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(type(state.champion.model), "predict_proba_one", starve)
    with pytest.raises(error):
        carried(found)
