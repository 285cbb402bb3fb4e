"""Labels of one key that contradict all others: counted and scored, not learned, told once and when over."""

from __future__ import annotations

import random
from typing import Any

from river.base import Classifier

from drift.sources import LONGEST
from stream_app.adapters.pickled import dump
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Labels
from stream_app.flow.core import Core
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.recovery.snapshots import state_digest
from tests.scenario.shard_driver import TOPICS, ShardDriver, application, logistic

KEYS = "abcde"
CALM, BURST = 1_000, 400  # events of all keys


class Sender:
    """Events of five keys with their labels; `a` can send the opposite."""

    def __init__(self, *, hold_back: bool = True, **definition: Any) -> None:
        labels = Labels(horizon="1h", hold_back=hold_back)
        self.shard = ShardDriver(application(**{"labels": labels, **definition}))
        self.dice = random.Random(1)
        self.n = 0

    def send(self, events: int, *, flipped: bool = False) -> None:
        for _ in range(events):
            key, x = KEYS[self.n % len(KEYS)], self.dice.uniform(-1, 1)
            label = (x > 0) != (flipped and key == "a")
            assert self.shard.event(f"e{self.n}", {"x": x}, key=key, label=label) is None
            self.n += 1

    def told(self) -> list[dict[str, Any]]:
        return [alert for alert in self.shard.written("alerts") if alert["type"] == "source-suspect"]

    def states(self) -> list[str]:
        return [alert["evidence"]["state"] for alert in self.told()]


def test_a_contradicting_key_is_held_back_and_told_once() -> None:
    """Every label is learned or held, which no model learns; one alert says where the key stands."""
    sender = Sender()
    sender.send(CALM)
    sender.send(BURST, flipped=True)
    counters, shard = sender.shard.counters, sender.shard
    assert BURST / 5 - 40 <= counters.labels_held < BURST / 5
    assert counters.labels_learned + counters.labels_held == CALM + BURST
    assert shard.champion.learned == counters.labels_learned
    assert len(shard.state.recent) <= counters.labels_learned
    assert shard.champion.scores.report()["cumulative"]["n"] > counters.labels_learned
    (alert,) = sender.told()
    evidence = alert["evidence"]
    assert (evidence["state"], evidence["input"], alert["severity"]) == ("held", "events", "warning")
    assert evidence["at"] % len(KEYS) == 0, "the record is one of the key's own"
    assert evidence["loss"] > 0.8
    assert evidence["all_loss"] < 0.5
    assert '"a"' not in str(alert), "a key may be personal data"


def test_a_key_that_agrees_again_is_learned_and_told() -> None:
    """After its burst it is learned within 20 of its labels, and nothing is held from then on."""
    sender = Sender()
    sender.send(CALM)
    sender.send(BURST, flipped=True)
    sender.send(100)
    assert sender.states() == ["held", "over"]
    held = sender.shard.counters.labels_held
    sender.send(500)
    assert sender.shard.counters.labels_held == held
    assert sender.told()[1]["evidence"]["held"] == held


def test_a_key_that_goes_on_is_believed_in_the_end() -> None:
    """It may have changed for good: after a thousand labels it is learned again, and that is told."""
    sender = Sender()
    sender.send(CALM)
    sender.send(5 * (LONGEST + 100), flipped=True)
    assert sender.states() == ["held", "believed"]
    assert sender.shard.counters.labels_held == LONGEST


def test_detectors_and_races_do_not_hear_held_labels() -> None:
    """A burst that is held back opens no hunt, and is no drought of labels."""
    sender = Sender()
    sender.send(CALM)
    sender.send(130, flipped=True)
    hunts, drifts = sender.shard.state.policy.hunt, sender.shard.counters.drifts
    assert sender.states() == ["held"]
    sender.send(BURST, flipped=True)
    assert (sender.shard.state.policy.hunt, sender.shard.counters.drifts) == (hunts, drifts)
    sender.shard.event("last", {"x": 0.5}, key="a", label=False)
    assert sender.shard.state.vigil.last_label_ms == sender.shard.state.log_time_ms


class Mute(Classifier):
    """Never says anything, so that it has no scores."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Nothing."""

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        return {}


def test_a_champion_without_scores_keeps_no_key_from_being_held() -> None:
    """Labels come for what another one has served; the alert leaves out what nobody knows."""
    sender = Sender(challengers={"mute": lambda _seed: Mute()})
    sender.send(CALM)
    waiting = [(f"w{i}", KEYS[i % len(KEYS)], sender.dice.uniform(-1, 1)) for i in range(BURST)]
    for event_id, key, x in waiting:
        assert sender.shard.event(event_id, {"x": x}, key=key) is None
    assert sender.shard.command("promote", slot="mute") is None
    for event_id, key, x in waiting:
        assert sender.shard.label(event_id, (x > 0) != (key == "a"), key=key) is None
    (alert,) = sender.told()
    assert (alert["evidence"]["state"], "all_loss" in alert["evidence"]) == ("held", False)


def test_nothing_is_held_back_unless_asked_for() -> None:
    """By default every label is learned."""
    sender = Sender(hold_back=False)
    sender.send(CALM)
    sender.send(BURST, flipped=True)
    assert (sender.shard.counters.labels_held, sender.told()) == (0, [])
    assert sender.shard.counters.labels_learned == CALM + BURST


def test_labels_during_a_pause_are_skipped_not_held() -> None:
    """Nobody learns them anyway."""
    sender = Sender()
    sender.send(CALM)
    assert sender.shard.command("pause") is None
    sender.send(BURST, flipped=True)
    assert (sender.shard.counters.labels_skipped, sender.shard.counters.labels_held) == (BURST, 0)


def test_default_labels_are_not_their_key_s() -> None:
    """The definition gave them, so that they speak neither for nor against a key."""
    sender = Sender(labels=Labels(horizon="1s", hold_back=True, on_timeout="label", default=False))
    sender.send(CALM)
    for i in range(5):
        assert sender.shard.event(f"late{i}", {"x": 1.0}, key="late") is None
    sender.shard.time_ms += 5_000
    sender.send(1)
    assert sender.shard.counters.labels_expired == 5
    sources = sender.shard.state.sources
    assert sources is not None
    assert "late" not in sources.young


def test_a_snapshot_during_a_hold_goes_on_as_if_there_had_been_none() -> None:
    """Stored and loaded while a key is doubted and while it is held: the same bytes from there on."""
    straight, stored = Sender(), Sender()
    for events, flipped in ((CALM, False), (50, True), (BURST, True), (200, False)):
        for sender in (straight, stored):
            sender.send(events, flipped=flipped)
        processor, app = stored.shard.processor, stored.shard.app
        state = unpickle(dump(stored.shard.state), (logistic.__module__,))
        place: dict[str, Any] = {
            "epoch": 0,
            "seq": processor.seq,
            "digest": processor.digest,
            "positions": processor.positions,
        }
        stored.shard.processor = BatchProcessor(Core(app, state), TOPICS, **place)
    assert straight.states() == ["held", "over"]
    assert straight.shard.closed == stored.shard.closed
    assert state_digest(straight.shard.state) == state_digest(stored.shard.state)


def test_forgetting_a_key_forgets_what_it_was_judged_by() -> None:
    """`forget` leaves nothing of a key that was held back."""
    sender = Sender()
    sender.send(CALM)
    sender.send(BURST, flipped=True)
    sources = sender.shard.state.sources
    assert sources is not None
    assert "a" in sources.held
    assert sender.shard.command("forget", key="a") is None
    assert "a" not in {**sources.held, **sources.young, **sources.old}
