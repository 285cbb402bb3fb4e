"""What each odd label or repeated id must end as: learned once, dropped and counted, or a dead letter with
its reason.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from river import dummy, linear_model, naive_bayes, preprocessing

from stream_app.application import Labels, Limits
from tests.scenario.shard_driver import ShardDriver, application, refused
from topics import reasons
from topics.envelope import EVENT, LABEL

HOUR_MS = 3_600_000


def bayes(seed: int) -> Any:
    """Gaussian naive Bayes."""
    return naive_bayes.GaussianNB()


TASKS: dict[str, dict[str, Any]] = {
    "binary": {},
    "closed": {"task": "multiclass", "champion": bayes, "labels": Labels(classes=["a", "b"])},
    "full": {"task": "multiclass", "champion": bayes, "labels": Labels(max_classes=2)},
    "regression": {
        "task": "regression",
        "champion": lambda seed: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    },
}
BAD = [
    ("binary", None, reasons.LABEL_BAD),
    ("binary", 0.5, reasons.LABEL_BAD),
    ("binary", [True], reasons.LABEL_BAD),
    ("binary", {"class": True}, reasons.LABEL_BAD),
    ("binary", 1 << 64, reasons.LABEL_BAD),
    ("binary", "maybe", reasons.LABEL_UNKNOWN_CLASS),
    ("binary", 1, reasons.LABEL_UNKNOWN_CLASS),
    ("binary", "true", reasons.LABEL_UNKNOWN_CLASS),
    ("closed", "c", reasons.LABEL_UNKNOWN_CLASS),
    ("closed", 1, reasons.LABEL_UNKNOWN_CLASS),
    ("closed", None, reasons.LABEL_BAD),
    ("full", "c", reasons.LABEL_UNKNOWN_CLASS),
    ("regression", None, reasons.LABEL_BAD),
    ("regression", 1e300, reasons.LABEL_BAD),
    ("regression", -1e300, reasons.LABEL_BAD),
    ("regression", True, reasons.LABEL_BAD),
    ("regression", "1.5", reasons.LABEL_BAD),
    ("regression", "NaN", reasons.LABEL_BAD),
]


def waiting(**definition: Any) -> ShardDriver:
    """A shard with all its classes seen and the event `waits` without a label."""
    shard = ShardDriver(application(**definition))
    shard.warm()
    assert shard.event("waits") is None
    return shard


@pytest.mark.parametrize(("definition", "label", "reason"), BAD)
def test_a_label_that_the_task_does_not_take_is_refused(definition: str, label: Any, reason: str) -> None:
    """A null, non-class or unbounded label moves nothing, and a right one is still learned."""
    shard = waiting(**TASKS[definition])
    value = orjson_or_text({"event_id": "waits", "label": label})
    refused(shard, reason, lambda to: to.raw(LABEL, value))
    learned = shard.champion.learned
    assert shard.label("waits", shard.warm_label(1)) is None
    assert shard.champion.learned == learned + 1


@pytest.mark.parametrize(("definition", "label", "reason"), BAD)
def test_an_inline_label_that_the_task_does_not_take_refuses_its_event(
    definition: str, label: Any, reason: str
) -> None:
    """An event whose inline label cannot be taken is not half taken."""
    shard = waiting(**TASKS[definition])
    value = orjson_or_text({"event_id": "bad", "features": {"x": 1.0}, "label": label})
    refused(shard, reason, lambda to: to.raw(EVENT, value))


def orjson_or_text(value: dict[str, Any]) -> bytes:
    """JSON, with integers beyond 64 bits too."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return str(value).replace("'", '"').encode()


def test_a_nan_target_is_malformed() -> None:
    """JSON has no NaN, so such a target never reaches the task's own check."""
    shard = waiting(**TASKS["regression"])
    refused(shard, reasons.MALFORMED, lambda to: to.raw(LABEL, b'{"event_id":"waits","label":NaN}'))


def test_a_label_without_a_definition_of_labels_is_unexpected() -> None:
    """An anomaly detector takes no labels, neither later nor inline."""
    shard = ShardDriver(application(task="anomaly", labels=None, champion=Distance))
    shard.warm()
    refused(shard, reasons.LABEL_UNEXPECTED, lambda to: to.label("warm0", True))
    inline = ShardDriver(shard.app)
    refused(inline, reasons.LABEL_UNEXPECTED, lambda to: to.event("bad", label=True))


class Distance:
    """How far x lies from its mean."""

    def __init__(self, seed: int) -> None:
        self.n, self.mean = 0, 0.0

    def score_one(self, row: dict[str, Any]) -> float:
        return abs(float(row["x"]) - self.mean)

    def learn_one(self, row: dict[str, Any]) -> None:
        self.n += 1
        self.mean += (row["x"] - self.mean) / self.n


def test_a_label_for_another_keys_event_is_refused() -> None:
    """The key must be the event's; the event goes on waiting."""
    shard = waiting()
    refused(shard, reasons.LABEL_OTHER_KEY, lambda to: to.label("waits", True, key="other"))
    assert shard.label("waits", True) is None
    assert shard.counters.dead_labels == 1


def test_a_late_label_is_refused_and_does_not_move_log_time() -> None:
    """A label stamped past its event's horizon is late, though nothing else expired the row."""
    shard = waiting()
    late = shard.time_ms + HOUR_MS + 1
    refused(shard, reasons.LABEL_LATE, lambda to: to.label("waits", True, time_ms=late))


def test_a_label_at_its_horizon_is_learned() -> None:
    """The horizon's last millisecond still counts."""
    shard = waiting()
    learned = shard.champion.learned
    assert shard.label("waits", True, time_ms=shard.time_ms - 1 + HOUR_MS) is None
    assert shard.champion.learned == learned + 1
    assert shard.counters.labels_expired == 0


def test_a_label_for_an_expired_event_is_late() -> None:
    """Once the row has expired, its label is late, whatever its own stamp says."""
    shard = waiting()
    stamp = shard.time_ms
    shard.time_ms += HOUR_MS + 10
    assert shard.event("later") is None
    assert shard.counters.labels_expired == 1
    refused(shard, reasons.LABEL_LATE, lambda to: to.label("waits", True, time_ms=stamp))


def test_an_orphan_is_refused_after_the_horizon() -> None:
    """A label whose event never comes waits for one horizon and is then a dead letter with its own bytes and
    offset.
    """
    shard = waiting()
    assert shard.label("nobody", True) is None
    assert len(shard.state.parked) == 1
    offset = shard.processor.positions[LABEL] - 1
    shard.time_ms += HOUR_MS + 10
    letter = shard.event("later", label=True)
    assert letter is not None
    assert (letter.reason, letter.topic, letter.offset) == (reasons.LABEL_ORPHAN, "a.labels", offset)
    assert len(shard.state.parked) == 0
    assert shard.counters.dead_labels == 1
    shard.still_works()


def test_a_label_that_finds_no_room_to_wait_is_an_orphan() -> None:
    """Parking is bounded; what does not fit is refused at once."""
    shard = waiting(limits=Limits(max_parked=1))
    assert shard.label("nobody", True) is None
    refused(shard, reasons.LABEL_ORPHAN, lambda to: to.label("nobody either", True))


def test_another_label_for_a_labelled_event_is_contradictory() -> None:
    """The first valid label counts, whether it came inline, later or early."""
    shard = waiting()
    assert shard.label("waits", True) is None
    refused(shard, reasons.LABEL_CONTRADICTORY, lambda to: to.label("waits", False))

    inline = waiting()
    refused(inline, reasons.LABEL_CONTRADICTORY, lambda to: to.label("warm0", True))

    early = waiting()
    assert early.label("soon", True) is None
    refused(early, reasons.LABEL_CONTRADICTORY, lambda to: to.label("soon", False))
    assert early.event("soon") is None
    assert early.state.class_counts == {False: 3, True: 5}


def test_the_same_label_again_is_dropped_and_counted() -> None:
    """A repeated label moves nothing but its counter, whether its event was labelled inline, later or not
    yet.
    """
    shard = waiting()
    assert shard.label("waits", True) is None
    assert shard.label("soon", False) is None
    before = shard.memory()
    for event_id, label in (("waits", True), ("warm0", False), ("soon", False)):
        assert shard.label(event_id, label) is None
    assert shard.memory() == before
    assert shard.counters.duplicate_labels == 3
    assert shard.counters.dead_labels == 0
    shard.still_works()


def test_an_equal_number_of_another_type_is_no_repetition() -> None:
    """1 and true are equal in Python and different labels in JSON."""
    shard = ShardDriver(application(task="multiclass", champion=lambda seed: dummy.NoChangeClassifier()))
    assert shard.event("e1", label=1) is None
    letter = shard.label("e1", True)
    assert letter is not None
    assert letter.reason == reasons.LABEL_CONTRADICTORY


def test_an_early_label_waits_and_is_learned_right_after_its_event() -> None:
    """A parked label is learned with its event's own row, after the event was predicted without it."""
    shard = ShardDriver()
    shard.warm()
    other = ShardDriver()
    other.warm()
    assert shard.label("soon", True) is None
    other.time_ms += 1
    assert shard.event("soon", {"x": 3.0, "y": 1}) is None
    assert other.event("soon", {"x": 3.0, "y": 1}) is None
    assert other.label("soon", True) is None
    assert shard.predictions() == other.predictions()
    assert shard.champion.learned == other.champion.learned == 7
    assert len(shard.state.parked) == len(shard.state.pending) == 0


def test_an_early_label_of_another_key_leaves_its_event_waiting() -> None:
    """A parked label is judged anew when its event comes: under another key it is refused, and the right one
    counts.
    """
    shard = ShardDriver()
    shard.warm()
    assert shard.label("soon", True, key="other") is None
    letter = shard.event("soon")
    assert letter is not None
    assert (letter.reason, letter.topic) == (reasons.LABEL_OTHER_KEY, "a.labels")
    assert shard.label("soon", False) is None
    assert shard.champion.learned == 7


def test_labels_while_paused_are_dropped_and_counted() -> None:
    """A pause teaches nothing: later, inline and early labels are counted, and predictions go on."""
    shard = waiting()
    assert shard.command("pause") is None
    learned = shard.champion.learned
    assert shard.label("waits", True) is None
    assert shard.event("inline", label=False) is None
    assert shard.label("soon", True) is None
    assert shard.event("soon") is None
    assert shard.champion.learned == learned
    assert shard.counters.labels_skipped == 3
    assert len(shard.state.pending) == 0
    assert shard.command("resume", "c2") is None
    shard.still_works()


def test_an_exact_duplicate_event_is_dropped_and_counted() -> None:
    """The same bytes again give no second prediction and no dead letter."""
    shard = waiting()
    before, predictions = shard.memory(), len(shard.predictions())
    assert shard.event("waits") is None
    assert shard.memory() == before
    assert len(shard.predictions()) == predictions
    assert shard.counters.duplicate_events == 1
    shard.still_works()


@pytest.mark.parametrize(
    ("features", "key"),
    [({"x": 9.0}, "k"), ({"y": 2, "x": 1.0}, "k"), (None, "other")],
    ids=["value", "order", "key"],
)
def test_a_reused_id_is_refused(features: dict[str, Any] | None, key: str) -> None:
    """One id with other content or another key is not the same event."""
    shard = waiting()
    refused(shard, reasons.EVENT_ID_REUSED, lambda to: to.event("waits", features, key=key))


@pytest.mark.parametrize(
    ("first", "second"), [(True, "true"), ("false", False), (1, "1"), ("-5", -5), (1, True), (False, 0)]
)
def test_classes_that_cannot_be_told_apart_are_refused(first: Any, second: Any) -> None:
    """A class with the JSON text of another, or equal to it in Python, is refused."""
    shard = ShardDriver(application(task="multiclass", champion=lambda seed: dummy.NoChangeClassifier()))
    assert shard.event("e1", label=first) is None
    letter = shard.event("e2", label=second)
    assert letter is not None
    assert letter.reason == reasons.LABEL_UNKNOWN_CLASS


def test_classes_that_only_look_alike_are_taken() -> None:
    """A string that is no integer's own text is a class of its own."""
    shard = ShardDriver(application(task="multiclass", champion=lambda seed: dummy.NoChangeClassifier()))
    for i, label in enumerate([1, "01", "+1", "1.0", "-", "", "True", "\u0661", "9" * 30, 7, "x7"]):
        assert shard.event(f"e{i}", label=label) is None
    assert shard.counters.labels_learned == 11


def test_an_id_that_still_waits_is_never_overwritten() -> None:
    """When a burst pushed an id out of the dedupe memory, its waiting row stays and is learned."""
    shard = ShardDriver(application(limits=Limits(max_ids=5)))
    for i in range(20):
        assert shard.event(f"e{i}") is None
    assert shard.state.ids.get("e0") is None
    refused(shard, reasons.EVENT_ID_REUSED, lambda to: to.event("e0", {"x": 9.0}))
    assert shard.label("e0", True) is None
    assert shard.counters.dead_labels == 0
