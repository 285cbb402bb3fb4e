"""Labels d events late: the service predicts what River's own delayed evaluation predicts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from river import datasets, evaluate, metrics, stream

from stream_app.embedded.services import Endpoints
from tests.integration.definitions import MODELS
from tests.integration.learners import Defined, Learners, first_difference

CASES = (("logistic", 1), ("logistic", 100), ("logistic", 1_000), ("adaptive-tree", 100))
ROWS = list(datasets.Phishing())

Case = tuple[str, int]


class Served:
    """What one learner left behind."""

    def __init__(self, learners: Learners, app: Defined) -> None:
        self.predictions = learners.committed(app, "predictions")
        self.dead_letters = learners.committed(app, "dead-letters")
        self.sent = {topic: len(learners.committed(app, topic)) for topic in ("events", "labels")}


@pytest.fixture(scope="module")
def served(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Served]:
    """Every case through the service: events in one topic, labels in the other, written before it starts."""
    learners = Learners(services, tmp_path_factory.mktemp("delays"))
    apps = learners.define({f"{model} {delay}": (model, 1) for model, delay in CASES})
    for model, delay in CASES:
        how = ("--label", "label", "--label-delay", str(delay))
        learners.produce(apps[f"{model} {delay}"], ROWS, "phishing", *how)
    learners.learn(apps.values())
    return {(model, delay): Served(learners, apps[f"{model} {delay}"]) for model, delay in CASES}


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest) -> Case:
    """One (model, delay)."""
    found: Case = request.param
    return found


def asked_and_answered(model: Any, delay: int) -> list[dict[str, Any]]:
    """River's protocol, as its questions and answers come: predict at a question, learn at an answer."""
    answers, learned = [], 0
    for n, x, y in stream.simulate_qa(ROWS, moment=None, delay=delay):
        if y is not None:
            model.learn_one(x, y)
            learned += 1
            continue
        prediction, probabilities = None, None
        if learned:  # ours is not asked before its first lesson, and cold
            prediction, probabilities = model.predict_one(x), model.predict_proba_one(x)
        answers.append(
            {
                "event_id": f"phishing.jsonl:{n}",
                "learned": learned,
                "prediction": prediction,
                "probabilities": probabilities or None,
            }
        )
    return answers


def test_predictions_are_those_of_questions_and_answers(served: dict[Case, Served], case: Case) -> None:
    """With labels d events late every committed prediction equals simulate_qa(delay=d)'s, in every bit."""
    model, delay = case
    names = ("event_id", "learned", "prediction", "probabilities")
    ours = [{name: prediction.get(name) for name in names} for prediction in served[case].predictions]
    assert not first_difference(ours, asked_and_answered(MODELS[model](0), delay), f"{model}, {delay} late")
    assert not served[case].dead_letters
    assert served[case].sent == {"events": len(ROWS), "labels": len(ROWS)}


def test_predictions_are_those_of_river_s_evaluation(served: dict[Case, Served], case: Case) -> None:
    """From the first lesson on every probability is that of progressive_val_score(delay=d) itself."""
    model, delay = case
    predictions = served[case].predictions
    steps = evaluate.iter_progressive_val_score(
        ROWS, MODELS[model](0), metrics.LogLoss(), delay=delay, yield_predictions=True
    )
    expected = [step["Prediction"] or None for step in steps]
    ours = [prediction.get("probabilities") for prediction in predictions]
    fresh = sum(prediction["learned"] == 0 for prediction in predictions)
    assert ours[:fresh] == [None] * fresh
    assert not first_difference(ours[fresh:], expected[fresh:], f"{model}, {delay} late")


def test_a_delay_is_told_apart(served: dict[Case, Served]) -> None:
    """The comparison is sharp: no two delays of a model give the same predictions."""
    answers = {
        orjson.dumps([p.get("probabilities") for p in served[model, delay].predictions])
        for model, delay in CASES
        if model == "logistic"
    }
    assert len(answers) == 3
