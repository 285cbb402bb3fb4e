"""A model that raises, or says what is no number: who loses what, who is told, and what still adds up."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from river import linear_model, naive_bayes

from stream_app.application import Labels, Limits
from tests.scenario.shard_driver import ShardDriver, application
from topics import reasons

HOUR_MS = 3_600_000


def bayes(seed: int) -> Any:
    """Gaussian naive Bayes."""
    return naive_bayes.GaussianNB()


class Scripted:
    """A classifier that raises, or gives what is not an answer, from its n-th call on or at each n-th."""

    def __init__(
        self,
        seed: int,
        *,
        predicts: int = 1 << 30,
        learns: int = 1 << 30,
        nan: bool = False,
        says: object = None,
        every: int = 0,
    ) -> None:
        self.predicts, self.learns, self.nan, self.says, self.every = predicts, learns, nan, says, every

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        self.predicts -= 1
        fails = self.predicts < 0 or (self.every and self.predicts % self.every == 0)
        if fails and self.says is not None:
            return {frozenset(self.says): 1.0}  # type: ignore[call-overload]
        if fails and self.nan:
            return {True: float("nan"), False: 0.5}
        if fails:
            raise ZeroDivisionError("broken")
        return {True: 0.5, False: 0.5}

    def predict_one(self, x: dict[str, Any]) -> bool:
        return self.predict_proba_one(x)[True] > 0.5

    def learn_one(self, x: dict[str, Any], y: Any, w: float = 1.0) -> None:
        self.learns -= 1
        if self.learns < 0:
            raise KeyError("lesson")


def test_a_challenger_that_cannot_learn_leaves_the_race_and_is_told_once() -> None:
    """The champion's answers and lessons are those of a shard without that challenger; one alert names it."""
    shard = ShardDriver(
        application(challengers={"weak": lambda seed: Scripted(seed, learns=3), "strong": bayes})
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


FAULTS: list[dict[str, Any]] = [{}, {"nan": True}, {"says": {1, 2}}]


@pytest.mark.parametrize("fault", FAULTS, ids=["raises", "NaN", "a class that is a set"])
def test_a_champion_without_an_answer_is_cold_and_learns_the_row(fault: dict[str, Any]) -> None:
    """The event is predicted with the prior, waits for its label and is learned; nothing is refused."""
    shard = ShardDriver(application(champion=lambda seed: Scripted(seed, predicts=0, **fault)))
    for n in range(30):
        assert shard.event(f"e{n}") is None
        assert shard.label(f"e{n}", n % 2 == 0) is None
    made = shard.predictions()
    assert [(one["prediction"], one["cold"]) for one in made] == [(None, True)] * 30
    assert made[-1]["prior"] == {"true": 15 / 29, "false": 14 / 29}
    assert (shard.champion.learned, shard.counters.unanswered, shard.counters.cold) == (30, 29, 30)
    (alert,) = [one for one in shard.written("alerts") if one["type"] == "no-answer"]
    assert (alert["severity"], alert["evidence"]["slot"]) == ("warning", "champion")


def test_a_single_question_without_an_answer_alerts_nobody() -> None:
    """One event in twenty may stay cold without a word."""
    shard = ShardDriver(application(champion=lambda seed: Scripted(seed, every=40)))
    shard.warm(100)
    assert shard.counters.unanswered == 5
    assert shard.written("alerts") == []


@pytest.mark.parametrize("nan", [False, True])
def test_a_challenger_without_an_answer_stays_in_the_race(nan: bool) -> None:
    """It is cold where it has none and learns on: one row that it cannot answer decides nothing."""
    weak = {"weak": lambda seed: Scripted(seed, every=20, nan=nan)}
    shard, alone = ShardDriver(application(challengers=weak)), ShardDriver()
    for driver in (shard, alone):
        driver.warm(30)
    assert shard.predictions() == alone.predictions()
    challenger = shard.state.slots[1]
    assert (challenger.failed, challenger.learned) == (None, 30)
    assert challenger.scores.report()["cumulative"]["n"] == 26


class Untouched(Scripted):
    """Counts what it is asked before its first lesson."""

    asked = 0

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        self.asked += self.learns == 1 << 30
        return super().predict_proba_one(x)


def test_a_model_that_has_learned_nothing_is_cold_without_being_asked() -> None:
    """Some models take their shape from the first row they see: it shall be one that they learn."""
    shard = ShardDriver(application(champion=Untouched, challengers={"other": Untouched}))
    for n in range(5):
        assert shard.event(f"e{n}") is None
    assert [made["cold"] for made in shard.predictions()] == [True] * 5
    assert [slot.model.asked for slot in shard.state.slots] == [0, 0]
    assert shard.label("e0", True) is None
    assert shard.event("next") is None
    assert shard.predictions()[-1]["cold"] is False


def test_a_model_that_learned_elsewhere_answers_from_the_first_event() -> None:
    """A factory may give one that was trained before."""
    trained = linear_model.LogisticRegression()
    for n in range(50):
        trained.learn_one({"x": n % 2}, n % 2 == 0)
    shard = ShardDriver(application(champion=lambda seed: copy.deepcopy(trained)))
    assert shard.event("first") is None
    assert shard.predictions()[0]["cold"] is False


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
