"""River's published figures, through Kafka: what the service commits is what bare River answers."""

from __future__ import annotations

from typing import Any

import pytest
from river import base, datasets, evaluate, metrics

from stream_app.embedded.services import Endpoints
from tests.integration.definitions import MODELS
from tests.integration.learners import Defined, Learners, Rows, first_difference

# (data set, model): the progressive score to four digits, cold answers skipped; MAE of a regression.
PUBLISHED = {
    ("Phishing", "logistic"): 0.8872,
    ("Phishing", "bayes"): 0.8847,
    ("Phishing", "adaptive-tree"): 0.8743,
    ("Phishing", "adwin-bagging"): 0.8935,
    ("Phishing", "leveraging-bagging"): 0.8943,
    ("Bananas", "adaptive-tree"): 0.6165,
    ("ChickWeights", "linear"): 23.7587,
}
QUICK = ("logistic", "linear")  # for these River's own evaluation is run, too
LAST_CLASS = {"Phishing": 0.5156, "Bananas": 0.5095}

Case = tuple[str, str]


class Served:
    """What one learner left behind, and what bare River says on the same rows."""

    def __init__(self, learners: Learners, app: Defined, rows: Rows) -> None:
        self.rows = rows
        self.predictions = learners.committed(app, "predictions")
        self.stats = learners.committed(app, "stats")[-1]
        self.dead_letters = learners.committed(app, "dead-letters")
        self.first, self.expected = progressive(MODELS[app.model](0), rows)


def progressive(model: Any, rows: Rows) -> tuple[Any, list[dict[str, Any]]]:
    """Predict, then learn, each row: the first answer, and all in the form of committed predictions."""
    answers = []
    first = model.predict_one(rows[0][0])
    for place, (x, y) in enumerate(rows):
        answer: dict[str, Any] = {"learned": place, "prediction": None, "cold": False, "probabilities": None}
        if place == 0:
            answer["cold"] = True  # ours is not asked before its first lesson
        elif isinstance(model, base.Regressor):
            answer["prediction"] = float(model.predict_one(x))
        else:
            answer["prediction"] = model.predict_one(x)
            probabilities = model.predict_proba_one(x)
            answer["cold"] = probabilities == {}
            answer["probabilities"] = probabilities or None
            assert (answer["prediction"] is None) == answer["cold"]
        answers.append(answer)
        model.learn_one(x, y)
    return first, answers


@pytest.fixture(scope="module")
def served(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Served]:
    """Every case through the service: one shard, inline labels, all written before the learners start."""
    learners = Learners(services, tmp_path_factory.mktemp("references"))
    apps = learners.define({f"{data}/{model}": (model, 1) for data, model in PUBLISHED})
    rows: dict[str, Rows] = {data: list(getattr(datasets, data)()) for data, _ in PUBLISHED}
    for data, model in PUBLISHED:
        learners.produce(apps[f"{data}/{model}"], rows[data], data, "--inline-label", "label")
    learners.learn(apps.values())
    return {(d, m): Served(learners, apps[f"{d}/{m}"], rows[d]) for d, m in PUBLISHED}


@pytest.fixture(params=PUBLISHED, ids="/".join)
def case(request: pytest.FixtureRequest) -> Case:
    """One (data set, model)."""
    found: Case = request.param
    return found


def test_every_prediction_is_river_s_to_the_bit(served: dict[Case, Served], case: Case) -> None:
    """Each event has one committed prediction, bare River's in every bit; cold ones are its {} or None."""
    found = served[case]
    names = ("learned", "prediction", "cold", "probabilities")
    ours = [{name: prediction.get(name) for name in names} for prediction in found.predictions]
    assert not first_difference(ours, found.expected, "/".join(case))
    ids = [prediction["event_id"] for prediction in found.predictions]
    assert ids == [f"{case[0]}.jsonl:{n}" for n in range(len(found.rows))]
    assert not found.dead_letters
    assert found.stats["counts"]["labels_learned"] == len(found.rows)
    assert found.stats["counts"]["cold"] == sum(answer["cold"] for answer in found.expected)


def test_the_score_is_the_published_one(served: dict[Case, Served], case: Case) -> None:
    """Committed predictions, the learner's statistics and River's evaluation give one figure.

    River's evaluation asks its model for the first row too, ours is cold there.
    """
    found = served[case]
    metric: Any = metrics.MAE() if case[1] == "linear" else metrics.Accuracy()
    river, asked_first = metric.clone(), metric.clone()
    if found.first is not None:
        asked_first.update(found.rows[0][1], found.first)
    for answer, (_, y) in zip(found.expected, found.rows, strict=True):
        if answer["prediction"] is not None:
            river.update(y, answer["prediction"])
            asked_first.update(y, answer["prediction"])
    if case[1] in QUICK:
        evaluated = evaluate.progressive_val_score(found.rows, MODELS[case[1]](0), metric.clone())
        assert evaluated.get() == asked_first.get()
    for prediction, (_, y) in zip(found.predictions, found.rows, strict=True):
        if not prediction["cold"]:
            metric.update(y, prediction["prediction"])
    champion = found.stats["slots"][0]["scores"]["cumulative"]
    own = champion["mae" if case[1] == "linear" else "accuracy"]
    assert champion["n"] == sum(not answer["cold"] for answer in found.expected)
    assert (metric.get(), own) == pytest.approx((river.get(), river.get()), 1e-12)
    assert round(asked_first.get(), 4) == PUBLISHED[case]


def test_a_cold_start_is_no_error(served: dict[Case, Served]) -> None:
    """GaussianNB has nothing to say of the first row, so that its score is 1105 of 1249."""
    found = served["Phishing", "bayes"]
    champion = found.stats["slots"][0]["scores"]["cumulative"]
    assert (champion["n"], round(champion["accuracy"] * champion["n"])) == (1249, 1105)
    assert [p["learned"] for p in found.predictions if p["cold"]] == [0]


@pytest.mark.parametrize("data", LAST_CLASS)
def test_the_baseline_stands_beside_the_score(served: dict[Case, Served], data: str) -> None:
    """The last class seen, predicted again, scores as it is known to: no model may hide behind it."""
    found = served[data, "adaptive-tree"]
    assert round(found.stats["baseline"]["cumulative"]["accuracy"], 4) == LAST_CLASS[data]
