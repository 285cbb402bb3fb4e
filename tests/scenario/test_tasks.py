"""Each task through the machine: what it serves, scores, learns and does when a model fails."""

from __future__ import annotations

from typing import Any

import pytest
from river import anomaly, datasets, linear_model, metrics, naive_bayes, preprocessing

from stream_app import features as f
from stream_app.application import Labels, Limits
from stream_app.flow.outputs import ReceiptWritten
from stream_app.models.seeds import seed_for
from stream_app.state.vocabulary import MANY_STRINGS as MANY
from tests.scenario.shard_driver import ShardDriver, application, logistic
from topics import reasons

HOUR_MS = 3_600_000


def linear(seed: int) -> Any:
    """Scaled linear regression."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def half_space(seed: int) -> Any:
    """A small forest of half-space trees."""
    trees = anomaly.HalfSpaceTrees(n_trees=3, height=4, window_size=20, seed=seed)
    return preprocessing.MinMaxScaler() | trees


def bayes(seed: int) -> Any:
    """Gaussian naive Bayes."""
    return naive_bayes.GaussianNB()


def test_regression_is_scored_on_what_was_served() -> None:
    """With labels ten events late MAE, RMSE and R2 are River's over the served predictions, not today's."""
    shard = ShardDriver(application(task="regression", champion=linear))
    rows = [(x, y) for x, y in datasets.TrumpApproval().take(200)]
    judges: dict[str, Any] = {"mae": metrics.MAE(), "r2": metrics.R2(), "rmse": metrics.RMSE()}
    bare = linear(0)
    served: list[float | None] = []
    for i, (x, _) in enumerate(rows):
        assert shard.event(f"e{i}", x) is None
        served.append(bare.predict_one(x) if i > 10 else None)  # cold until it has learned
        if i >= 10:
            label, earlier = rows[i - 10][1], served[i - 10]
            assert shard.label(f"e{i - 10}", label) is None
            bare.learn_one(rows[i - 10][0], label)
            for metric in judges.values() if earlier is not None else ():
                metric.update(label, earlier)
    assert [made["prediction"] for made in shard.predictions()] == served
    assert "probabilities" not in shard.predictions()[0]
    report = shard.champion.scores.report()["cumulative"]
    for name, metric in judges.items():
        assert report[name] == pytest.approx(metric.get(), abs=1e-9)
    assert shard.state.baseline.report()["cumulative"]["n"] == 179, (
        "the first 11 were served before any label"
    )


def test_a_multiclass_shard_serves_every_class_it_knows() -> None:
    """Cold at first, with the shares of classes as prior; then River's classes and probabilities."""
    shard = ShardDriver(application(task="multiclass", champion=bayes))
    bare = bayes(0)
    for i, (x, y) in enumerate(datasets.ImageSegments().take(60)):
        expected = bare.predict_proba_one(x)
        assert shard.event(f"e{i}", x, label=y) is None
        made = shard.predictions()[-1]
        assert made.get("probabilities", {}) == expected
        assert made["prediction"] == (max(expected, key=expected.__getitem__) if expected else None)
        assert made["cold"] == (not expected)
        bare.learn_one(x, y)
    assert shard.predictions()[0]["prior"] is None
    assert shard.counters.cold == 1
    assert shard.champion.scores.report()["cumulative"]["n"] == 59, "a cold answer is not scored"


def test_a_cold_model_tells_the_share_of_each_class() -> None:
    """What labels taught before the model can speak is told as prior, never as a prediction."""
    shard = ShardDriver(application(champion=Cold))
    shard.warm(4)
    assert shard.event("e") is None
    made = shard.predictions()[-1]
    assert (made["prediction"], made["cold"], made["prior"]) == (None, True, {"false": 0.5, "true": 0.5})


class Cold:
    """Never says anything."""

    def __init__(self, seed: int) -> None:
        pass

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        return {}

    def predict_one(self, x: dict[str, Any]) -> None:
        return None

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        pass


def test_an_anomaly_detector_scores_first_and_learns_after() -> None:
    """Scores are those of a bare loop that scores, then learns each row; nothing waits for labels."""
    shard = ShardDriver(application(task="anomaly", champion=half_space, labels=None))
    bare = half_space(seed_for(42, "champion", 0))
    for i, (x, _) in enumerate(datasets.Phishing().take(80)):
        expected = bare.score_one(x) if i else None
        assert shard.event(f"e{i}", x) is None
        assert shard.predictions()[-1]["prediction"] == expected
        bare.learn_one(x)
    assert shard.champion.learned == 80
    assert len(shard.state.pending) == 0
    assert shard.command("pause") is None
    assert shard.event("paused") is None
    assert (shard.champion.learned, shard.counters.labels_skipped) == (80, 1)


@pytest.mark.parametrize(
    ("task", "champion", "default"), [("binary", logistic, False), ("regression", linear, 0.5)]
)
def test_a_missing_label_becomes_the_default_when_declared(task: str, champion: Any, default: Any) -> None:
    """With on_timeout="label" an expired row is scored and learned as if it had been sent."""
    labels = Labels(horizon="1h", on_timeout="label", default=default)
    shard = ShardDriver(application(task=task, champion=champion, labels=labels))
    told = ShardDriver(application(task=task, champion=champion))
    for driver in (shard, told):
        driver.warm()
        assert driver.event("quiet", {"x": 2.0, "y": 1}) is None
        driver.time_ms += HOUR_MS - 2
    assert told.label("quiet", default) is None
    shard.time_ms += 10
    assert shard.event("later") is None
    assert shard.counters.labels_expired == 1
    assert shard.champion.learned == told.champion.learned == 7
    assert shard.champion.scores.report() == told.champion.scores.report()
    row = {"x": 1.0, "y": 0}
    assert shard.champion.model.predict_one(row) == told.champion.model.predict_one(row)
    late = shard.label("quiet", default)
    assert late is not None
    assert late.reason == reasons.LABEL_LATE


def test_a_missing_label_is_dropped_and_counted_by_default() -> None:
    """Expiry without a default teaches nothing."""
    shard = ShardDriver()
    shard.warm()
    assert shard.event("quiet") is None
    shard.time_ms += HOUR_MS + 10
    assert shard.event("later") is None
    assert (shard.counters.labels_expired, shard.champion.learned, len(shard.state.pending)) == (1, 6, 1)


def test_commands_act_once_and_tell_their_outcome() -> None:
    """Pause, resume and what cannot be done each leave one outcome; the same command again leaves none."""
    shard = ShardDriver()
    for command, command_id, fields in [
        ("pause", "c1", {}),
        ("pause", "c1", {}),
        ("resume", "c2", {}),
        ("dance", "c3", {}),
        ("forget", "c4", {}),
        ("pause", "c5", {"shard": 1}),
        ("pause", "c6", {"shard": 0}),
        ("resume", "c1", {}),
    ]:
        assert shard.command(command, command_id, **fields) is None
    assert [told["outcome"] for told in shard.written("models")] == [
        "done",
        "done",
        "refused",
        "refused",
        "refused",
        "done",
    ]
    assert shard.state.paused
    assert shard.counters.commands == 8


def test_forget_drops_all_that_is_stored_of_a_key_and_nothing_else() -> None:
    """Windows, pending rows, waiting labels and the view's blob of one key go; its later label is late."""
    shard = ShardDriver(application(features=[f.count("1h")]))
    for key in ("mine", "other"):
        assert shard.event(f"e-{key}", key=key) is None
        assert shard.label(f"early-{key}", True, key=key) is None
    assert shard.command("forget", key="mine") is None
    assert shard.closed[-1].blobs == {"mine": None}
    assert list(shard.state.pending.items) == ["e-other"]
    assert list(shard.state.parked.items) == ["early-other"]
    assert shard.state.entities.keys() == ["other"]
    late = shard.label("e-mine", True, key="mine")
    assert late is not None
    assert late.reason == reasons.LABEL_LATE
    assert shard.event("again", key="mine") is None
    assert shard.state.pending.items["again"].row["count_1h"] == 0
    assert shard.closed[-1].blobs["mine"]
    shard.still_works()


def test_weights_and_class_weights_multiply() -> None:
    """A label's own weight and its class's weight reach the model as their product."""
    shard = ShardDriver(application(class_weights={True: 3.0}))
    bare = logistic(0)
    for i in range(20):
        row = {"x": float(i % 5), "y": i % 3}
        assert shard.event(f"e{i}", row) is None
        assert shard.label(f"e{i}", i % 2 == 0, weight=0.5) is None
        bare.learn_one(row, i % 2 == 0, w=1.5 if i % 2 == 0 else 0.5)
    assert shard.champion.model.predict_proba_one({"x": 2.0, "y": 1}) == bare.predict_proba_one(
        {"x": 2.0, "y": 1}
    )


def test_a_full_waiting_room_expires_the_oldest_and_alerts_once() -> None:
    """The bound on waiting rows holds: the oldest goes early, is counted, and somebody is told once."""
    shard = ShardDriver(application(limits=Limits(max_pending=3)))
    for i in range(6):
        assert shard.event(f"e{i}") is None
    assert list(shard.state.pending.items) == ["e3", "e4", "e5"]
    assert shard.counters.labels_expired == 3
    assert [alert["type"] for alert in shard.written("alerts")] == ["pending-full"]


def test_rows_with_more_bytes_than_may_wait_expire_the_oldest() -> None:
    """One large event makes room for itself at the cost of several small ones; the alert names the bound."""
    shard = ShardDriver(application(limits=Limits(max_waiting_bytes=2_000)))
    for i in range(6):
        assert shard.event(f"e{i}") is None
    assert shard.counters.labels_expired == 0
    assert shard.event("large", {"text": "x" * 1_930}) is None
    assert list(shard.state.pending.items) == ["large"]
    assert shard.counters.labels_expired == 6
    (alert,) = shard.written("alerts")
    assert (alert["type"], alert["evidence"]["max_waiting_bytes"]) == ("pending-full", 2_000)
    assert "max_waiting_bytes" in alert["message"]


def test_labels_with_more_bytes_than_may_wait_are_dead_letters() -> None:
    """What came first keeps its place."""
    shard = ShardDriver(application(limits=Limits(max_waiting_bytes=200)))
    letters = [shard.label(f"early{i}", True) for i in range(10)]
    n = letters.count(None)
    assert 0 < n == len(shard.state.parked)
    assert letters[:n] == [None] * n
    assert {letter.reason for letter in letters[n:] if letter} == {reasons.LABEL_ORPHAN}


def test_ids_that_are_forgotten_within_dedupe_are_an_alert_once() -> None:
    """Whoever repeats an event later than that finds it predicted twice."""
    shard = ShardDriver(application(limits=Limits(max_ids=10)))
    for i in range(40):
        assert shard.event(f"e{i}") is None
    (alert,) = shard.written("alerts")
    assert (alert["type"], alert["evidence"]["max_ids"]) == ("ids-full", 10)


def test_entities_beyond_their_bound_leave_the_view_and_are_an_alert_once() -> None:
    """The features of one that comes back begin anew, here and in Redis alike."""
    shard = ShardDriver(application(features=[f.count(window="1h")], limits=Limits(max_entities=3)))
    for i in range(6):
        assert shard.event(f"e{i}", key=f"k{i}") is None
    assert len(shard.state.entities) == 3
    (alert,) = shard.written("alerts")
    assert (alert["type"], alert["evidence"]["max_entities"]) == ("entities-full", 3)


def test_a_feature_with_as_many_strings_as_an_id_is_named_once() -> None:
    """Each such feature in one alert, when it passes the bound; numbers and other features are not."""
    shard = ShardDriver()
    for i in range(MANY + 30):
        features = {"trip": f"t{i}", "order": f"o{i // 2}", "city": f"c{i % 9}", "x": i % 5}
        assert shard.event(f"e{i}", features) is None
        assert len(shard.written("alerts")) == (i >= MANY)
    for i in range(MANY * 2):
        assert shard.event(f"later{i}", {"order": f"o{i}"}) is None
    alerts = [alert for alert in shard.written("alerts") if alert["type"] == "many-strings"]
    assert [alert["evidence"]["feature"] for alert in alerts] == ["trip", "order"]
    assert "more than 1,000 different strings" in alerts[0]["message"]


def test_a_misplaced_key_alerts_once_and_names_the_fix() -> None:
    """A key that murmur2 puts elsewhere betrays its producer's partitioner."""
    shard = ShardDriver(application(shards=4), shard=0)
    for i in range(20):
        assert shard.event(f"e{i}", key=f"k{i}") is None
    alerts = shard.written("alerts")
    assert [alert["type"] for alert in alerts] == ["partitioner-mismatch"]
    assert "murmur2_random" in alerts[0]["message"]


def test_a_default_label_takes_its_place_among_the_classes() -> None:
    """A binary default leaves room for one other class, so that expiry never makes a third."""
    labels = Labels(horizon="1h", on_timeout="label", default="no")
    shard = ShardDriver(application(champion=bayes, labels=labels))
    assert shard.event("e1", label="yes") is None
    letter = shard.event("e2", label="maybe")
    assert letter is not None
    assert letter.reason == reasons.LABEL_UNKNOWN_CLASS
    assert shard.event("e3") is None
    shard.time_ms += HOUR_MS + 10
    assert shard.event("e4", label="no") is None
    assert shard.state.class_counts == {"yes": 1, "no": 2}


def test_first_models_leave_their_receipts_once() -> None:
    """Each slot's first model is told once, the champion's with the pointer to it."""
    app = application(challengers={"other": bayes})
    shard = ShardDriver(app)
    assert [
        (born.slot, born.version, born.serving) for born in shard.born if isinstance(born, ReceiptWritten)
    ] == [
        ("champion", 1, True),
        ("other", 2, False),
    ]
    shard.processor.emitter.encode_all(shard.born)
    shard.event("a")
    shard.event("b")
    assert [send.key for closed in shard.closed for send in closed.commit.others] == [
        b"0/1",
        b"0/champion",
        b"0/2",
    ]
