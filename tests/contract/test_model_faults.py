"""A model that raises, or says what is no number: who loses what, who is told, and what still adds up."""

from __future__ import annotations

from typing import Any

import pytest
from river import naive_bayes

from stream_app import features as f
from stream_app.application import Labels, Limits
from tests.contract.shard_driver import ShardDriver, application
from topics import reasons

HOUR_MS = 3_600_000


def bayes(seed: int) -> Any:
    """Gaussian naive Bayes."""
    return naive_bayes.GaussianNB()


class Scripted:
    """A classifier that raises, or says what is no number, from its n-th call on."""

    def __init__(
        self, seed: int, *, predicts: int = 1 << 30, learns: int = 1 << 30, nan: bool = False
    ) -> None:
        self.predicts, self.learns, self.nan = predicts, learns, nan

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        self.predicts -= 1
        if self.predicts < 0 and self.nan:
            return {True: float("nan"), False: 0.5}
        if self.predicts < 0:
            raise ZeroDivisionError("broken")
        return {True: 0.5, False: 0.5}

    def predict_one(self, x: dict[str, Any]) -> bool:
        return self.predict_proba_one(x)[True] > 0.5

    def learn_one(self, x: dict[str, Any], y: Any, w: float = 1.0) -> None:
        self.learns -= 1
        if self.learns < 0:
            raise KeyError("lesson")


@pytest.mark.parametrize("fault", [{"predicts": 3}, {"predicts": 3, "nan": True}, {"learns": 3}], ids=str)
def test_a_challenger_that_fails_leaves_the_race_and_is_told_once(fault: dict[str, Any]) -> None:
    """The champion's answers and lessons are those of a shard without that challenger; one alert names it."""
    shard = ShardDriver(
        application(challengers={"weak": lambda seed: Scripted(seed, **fault), "strong": bayes})
    )
    alone = ShardDriver()
    for driver in (shard, alone):
        driver.warm(12)
    assert shard.predictions() == alone.predictions()
    assert shard.champion.learned == 12
    slots = {slot.name: slot for slot in shard.state.slots}
    assert slots["weak"].failed
    assert slots["strong"].failed is None
    assert slots["strong"].learned == 12
    alerts = [alert for alert in shard.written("alerts") if alert["type"] == "challenger-failed"]
    (alert,) = alerts
    raised = slots["weak"].failed
    assert alert["evidence"] == {"slot": "weak", "error": raised}
    shard.still_works()


@pytest.mark.parametrize("nan", [False, True])
def test_a_champion_that_cannot_predict_refuses_the_event(nan: bool) -> None:
    """The event is a dead letter of its own reason and may be sent again; nothing of it is remembered."""

    def answers_once(seed: int) -> Scripted:
        return Scripted(seed, predicts=2, nan=nan)

    shard = ShardDriver(application(champion=answers_once, features=[f.count("1h")]))
    assert shard.event("first") is None
    for _ in range(2):
        letter = shard.event("second", key="new")
        assert letter is not None
        assert (letter.reason, letter.stage) == (reasons.MODEL_ERROR, "predict")
    assert shard.state.entities.keys() == ["k"]
    assert list(shard.state.pending.items) == ["first"]
    assert shard.counters.events == shard.counters.predictions + shard.counters.dead_events == 3


def test_a_champion_that_cannot_learn_loses_the_label_to_the_dead_letters() -> None:
    """A label that the champion could not learn is told with the stage; predictions go on."""
    shard = ShardDriver(application(champion=lambda seed: Scripted(seed, learns=0)))
    assert shard.event("e") is None
    letter = shard.label("e", True)
    assert letter is not None
    assert (letter.reason, letter.stage, letter.topic) == (reasons.MODEL_ERROR, "learn", "a.labels")
    assert shard.champion.learned == shard.counters.labels_learned == 0
    assert shard.counters.labels == shard.counters.dead_labels == 1
    assert shard.label("e", True) is None, "no second letter"
    assert shard.counters.duplicate_labels == 1, "nor a second chance: dlq retry and the runbook say so"
    assert shard.event("next") is None
    assert len(shard.predictions()) == 2


def test_an_inline_label_that_cannot_be_learned_leaves_its_event_predicted() -> None:
    """The event's own record is the dead letter, and counts as predicted: events still add up."""
    shard = ShardDriver(application(champion=lambda seed: Scripted(seed, learns=1)))
    assert shard.event("learned", label=True) is None
    letter = shard.event("lost", label=True)
    assert letter is not None
    assert (letter.reason, letter.stage, letter.topic) == (reasons.MODEL_ERROR, "learn", "a.events")
    counters = shard.counters
    assert counters.labels_learned == shard.champion.learned == 1
    assert (counters.events, counters.predictions, counters.dead_events) == (2, 2, 0)


@pytest.mark.parametrize("bound", [Limits(), Limits(max_pending=1)], ids=["horizon", "no room"])
def test_a_default_label_that_cannot_be_learned_blames_no_record(bound: Limits) -> None:
    """The record that moved time is innocent and predicted as ever; an alert names the event instead."""
    labels = Labels(horizon="1h", on_timeout="label", default=False)
    shard = ShardDriver(
        application(champion=lambda seed: Scripted(seed, learns=0), labels=labels, limits=bound)
    )
    twin = ShardDriver(shard.app)
    for driver in (shard, twin):
        assert driver.event("quiet") is None
        driver.time_ms += HOUR_MS + 10 if bound == Limits() else 0
        assert driver.event("innocent") is None
    alert = shard.written("alerts")[-1]
    assert (alert["type"], alert["severity"]) == ("champion-failed", "critical")
    assert (alert["evidence"]["event_offset"], alert["evidence"]["label"]) == (0, False)
    assert alert == twin.written("alerts")[-1]
    counters = shard.counters
    assert (counters.labels_expired, counters.labels_learned, shard.champion.learned) == (1, 0, 0)
    assert (counters.events, counters.predictions, counters.dead_events) == (2, 2, 0)
    assert shard.state.dead_by_reason == {}
    assert shard.state.class_counts == {}


def test_a_default_label_that_a_challenger_cannot_learn_leaves_the_champions_count() -> None:
    """A challenger's fault at an expiry takes it out of the race and costs the champion nothing."""
    labels = Labels(horizon="1h", on_timeout="label", default=False)
    shard = ShardDriver(
        application(challengers={"weak": lambda seed: Scripted(seed, learns=0)}, labels=labels)
    )
    assert shard.event("quiet") is None
    shard.time_ms += HOUR_MS + 10
    assert shard.event("later") is None
    assert [alert["type"] for alert in shard.written("alerts")] == ["challenger-failed"]
    assert shard.champion.learned == shard.counters.labels_learned == 1
