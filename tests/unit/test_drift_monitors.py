"""A shard's detectors: one for each name, of its kind, bounded, ranked, and sampled as they say."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest

from drift.categories import Categories
from drift.detector import Detector
from drift.detectors import Detect
from drift.monitors import FEATURE_EVERY, LABEL_EVERY, MOST_FEATURES, RANKED, Alarm, Monitors
from drift.signals import RATE_BLOCK
from drift.verdicts import State

BOTH = (Detect("adwin", "features"), Detect("psi", "features", size=100))


def looked(monitors: Monitors, rows: int, row: dict[str, Any], **answer: Any) -> list[Alarm]:
    """Show one row until it was looked at so many times."""
    prediction, positive = answer.get("prediction"), answer.get("positive")
    return [
        alarm for _ in range(rows * FEATURE_EVERY) for alarm in monitors.on_event(row, prediction, positive)
    ]


def test_each_feature_has_its_own_detector_of_its_kind() -> None:
    """Numbers have ADWIN, strings and booleans PSI; a drift of one names it and no other."""
    monitors = Monitors(BOTH)
    row: dict[str, Any] = {"x": 0.0, "n": 3, "s": "a", "b": True}
    assert not looked(monitors, 400, row)
    kinds = {name: [type(one) for one in found] for (_, name), found in monitors.watching.items()}
    assert kinds == {"x": [Detector], "n": [Detector], "s": [Categories], "b": [Categories]}
    alarms = looked(monitors, 200, {**row, "x": 5.0, "s": "z"})
    assert {(alarm.signal, alarm.name, alarm.detector) for alarm in alarms} == {
        ("features", "x", "adwin"),
        ("features", "s", "psi"),
    }
    assert {alarm.verdict.state for alarm in alarms} == {State.DRIFT}


def test_one_event_in_so_many_is_looked_at() -> None:
    """The others cost nothing and count nowhere."""
    monitors = Monitors(BOTH)
    for n in range(FEATURE_EVERY * 10 + FEATURE_EVERY - 1):
        monitors.on_event({"x": float(n)}, None, None)
    assert monitors.watching["features", "x"][0].seen == 10
    assert monitors.movements["x"].n == 10


@pytest.mark.parametrize("width", [1, 10, 256])
def test_no_more_features_are_watched_than_the_bound(width: int) -> None:
    """Whether they come at once in wide rows or a few at a time, and whatever else is watched."""
    monitors = Monitors((*BOTH, Detect("adwin")))
    monitors.on_loss("champion", 0.5, [])
    for start in range(0, 300, width):
        looked(monitors, 2, {f"f{n}": 1.0 for n in range(start, start + width)})
    features = [name for signal, name in monitors.watching if signal == "features"]
    assert len(features) == len(monitors.movements) == MOST_FEATURES
    assert features == [f"f{n}" for n in range(MOST_FEATURES)], "the first ones stay"
    assert monitors.watching["features", "f0"][0].seen == 2


def test_features_are_ranked_by_how_far_they_moved() -> None:
    """The furthest first, at most five; a constant has not moved; categories count by their PSI."""
    monitors = Monitors((Detect("adwin", "features"), Detect("psi", "features", size=200)))
    dice = random.Random(1)
    for n in range(1_000):
        new = n >= 900
        row = {f"still{i}": dice.gauss(0, 1) for i in range(5)}
        row |= {"far": dice.gauss(9 * new, 1), "near": dice.gauss(3 * new, 1), "constant": 4.0}
        looked(monitors, 1, {**row, "kind": "b" if new else dice.choice("ab")})
    ranking = monitors.ranking()
    assert len(ranking) == RANKED
    names = [name for name, _ in ranking]
    assert set(names[:3]) == {"far", "near", "kind"}
    assert names.index("far") < names.index("near")
    moved = [value for _, value in ranking]
    assert moved == sorted(moved, reverse=True)
    assert monitors.movements["constant"].moved() == 0.0


def test_nothing_is_ranked_before_anything_was_seen() -> None:
    """An alarm of the first moments has no features to name."""
    assert Monitors(BOTH).ranking() == []


def test_answers_are_watched_as_classes_or_as_values() -> None:
    """Classes go to PSI, P(True) and values to ADWIN; a missing answer goes nowhere."""
    watched = (Detect("adwin", "prediction"), Detect("psi", "prediction", size=50))
    binary, values = Monitors(watched), Monitors(watched)
    looked(binary, 50, {}, prediction=True, positive=0.9)
    assert {alarm.name for alarm in looked(binary, 50, {}, prediction=False, positive=0.9)} == {""}
    assert {alarm.name for alarm in looked(binary, 200, {}, prediction=False, positive=0.1)} == {"P(true)"}
    looked(values, 300, {}, prediction=1.5)
    assert [alarm.detector for alarm in looked(values, 200, {}, prediction=9.5)][:1] == ["adwin"]
    quiet = Monitors(watched)
    assert not looked(quiet, 10, {})
    assert not quiet.watching


def test_events_that_pass_by_count_as_those_that_are_looked_at() -> None:
    """Passing what is not due and looking at the rest gives the alarms and counts of looking at all."""
    asked, shown = (Monitors((*BOTH, Detect("adwin", "label_rate"))) for _ in range(2))
    for n in range(20_000):
        row = {"x": float(n > 10_000), "s": "ab"[n > 15_000]}
        for monitors in (asked, shown) if n % 2 and n < 12_000 else ():
            monitors.on_label("yes", 1)
        alarms = shown.on_event(row, None, None)
        assert ([] if asked.count_unless_due() else asked.on_event(row, None, None)) == alarms
    assert asked.events == shown.events == 20_000
    assert asked.ranking() == shown.ranking()
    assert asked.labels_in_block == shown.labels_in_block


def test_labels_and_their_delay_are_watched() -> None:
    """A turned balance of classes and a longer delay are two alarms of two signals."""
    monitors = Monitors((Detect("psi", "labels", size=100), Detect("adwin", "label_delay")))
    for _ in range(300 * LABEL_EVERY):
        assert not monitors.on_label("yes", 1_000)
    alarms = [alarm for _ in range(300 * LABEL_EVERY) for alarm in monitors.on_label("no", 60_000)]
    assert {(alarm.signal, alarm.detector) for alarm in alarms} == {
        ("labels", "psi"),
        ("label_delay", "adwin"),
    }


def test_the_rate_of_labels_is_counted_in_blocks_of_events() -> None:
    """One value for each 100 events: labels that came among them, per event; the count starts anew."""
    monitors = Monitors((Detect("adwin", "label_rate"),))
    fed: list[float] = []
    alarms: list[Alarm] = []
    for n in range(RATE_BLOCK * 240):
        if n % (2 if n < RATE_BLOCK * 40 else 10) == 0:
            monitors.on_label("yes", 1)
        alarms += monitors.on_event({}, None, None)
        if (n + 1) % RATE_BLOCK == 0:
            fed.append(monitors.watching["label_rate", ""][0].recent)
    assert monitors.watching["label_rate", ""][0].seen == 240
    assert fed[39] == pytest.approx(0.5)
    assert [alarm.signal for alarm in alarms][:1] == ["label_rate"]
    assert alarms[0].verdict.before > alarms[0].verdict.after


def test_a_default_label_that_nobody_sent_is_no_arrival() -> None:
    """It counts for the balance of classes, and neither for the rate nor for the delay of labels."""
    watched = (Detect("psi", "labels"), Detect("adwin", "label_delay"), Detect("adwin", "label_rate"))
    monitors = Monitors(watched)
    for _ in range(LABEL_EVERY):
        monitors.on_label("no", None)
    assert list(monitors.watching) == [("labels", "")]
    assert monitors.labels_in_block == 0


def test_losses_are_watched_for_each_model_and_forgotten() -> None:
    """Another model under a name is judged by its own losses only."""
    monitors = Monitors((Detect("adwin"), Detect("ddm")))
    alarms: list[Alarm] = []
    for n in range(1_000):
        monitors.on_loss("champion", float(n >= 500), alarms)
        monitors.on_loss("shadow", 0.0, alarms)
    assert {alarm.name for alarm in alarms} == {"champion"}
    assert {alarm.detector for alarm in alarms} == {"adwin", "ddm"}
    monitors.forget_losses("champion")
    assert list(monitors.watching) == [("loss", "shadow")]
    alarms.clear()
    for _ in range(500):
        monitors.on_loss("champion", 1.0, alarms)
    assert not alarms
    monitors.forget_losses("nobody")


def test_what_nobody_asked_for_is_not_watched() -> None:
    """Without detectors every signal passes, and no memory is kept of it."""
    monitors = Monitors(())
    assert not looked(monitors, 5, {"x": 1.0}, prediction=True, positive=0.5)
    assert not monitors.on_label("yes", 5)
    alarms: list[Alarm] = []
    monitors.on_loss("champion", 1.0, alarms)
    assert not alarms
    assert not monitors.watching


def test_stored_monitors_go_on_as_if_they_had_not_been_stored() -> None:
    """After a pickle round trip later alarms, rankings and counts are equal."""
    monitors = Monitors((*BOTH, Detect("adwin"), Detect("adwin", "label_rate")))
    looked(monitors, 150, {"x": 1.0, "s": "a"})
    stored = pickle.loads(pickle.dumps(monitors))
    later = [looked(one, 150, {"x": 7.0, "s": "b"}) for one in (monitors, stored)]
    assert later[0] == later[1]
    assert later[0]
    assert monitors.ranking() == stored.ranking()
