"""The bound calls serve what River itself would answer, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from river import base, compose, datasets, dummy, ensemble, linear_model, naive_bayes, preprocessing, tree

from stream_app.application import Application, Labels
from stream_app.models.calls import COLD, ModelFault, bind
from stream_app.models.question import Question

ROWS = 400
MODELS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "hoeffding tree": tree.HoeffdingTreeClassifier,
    "gaussian naive bayes": naive_bayes.GaussianNB,
    "ADWIN bagging": lambda: ensemble.ADWINBaggingClassifier(
        tree.HoeffdingTreeClassifier(), n_models=3, seed=7
    ),
    "perceptron": lambda: preprocessing.StandardScaler() | linear_model.Perceptron(),
    "passive-aggressive": lambda: preprocessing.StandardScaler() | linear_model.PAClassifier(),
    "no change": dummy.NoChangeClassifier,
    "nested pipeline": lambda: (
        preprocessing.StandardScaler() | (compose.Select("long_url") | naive_bayes.GaussianNB())
    ),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_answers_equal_rivers_on_real_data(make: Callable[[], Any]) -> None:
    """Predictions and probabilities on Phishing, tested then learned, are those of a bare River loop."""
    bare, served = make(), make()
    calls = bind(served, Question("binary"))
    for x, y in datasets.Phishing().take(ROWS):
        prediction, probabilities = calls.predict(x)
        assert prediction == bare.predict_one(x)
        if probabilities is not None:
            own = bare.predict_proba_one(x)
            assert {c: p.hex() for c, p in map(bits, probabilities.items())} == {
                c: p.hex() for c, p in map(bits, own.items())
            }
        calls.learn(x, y, 1.0)
        bare.learn_one(x, y)


def bits(pair: tuple[Any, Any]) -> tuple[Any, float]:
    """A probability as a float, NumPy's too."""
    return pair[0], float(pair[1])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_a_threshold_decides_on_the_probability_of_true(threshold: float) -> None:
    """True exactly where p(True) is above the threshold."""
    model = MODELS["logistic"]()
    calls = bind(model, Question("binary", threshold))
    for x, y in datasets.Phishing().take(ROWS):
        prediction, probabilities = calls.predict(x)
        assert prediction is (model.predict_proba_one(x)[True] > threshold)
        assert probabilities == model.predict_proba_one(x)
        calls.learn(x, y, 1.0)


def test_a_threshold_may_be_about_one_of_two_words() -> None:
    """The positive class is answered above it, the other one otherwise."""
    app = Application(
        name="a",
        task="binary",
        champion=lambda seed: Sure({"fraud": 0.7, "ok": 0.3}),
        labels=Labels(classes=["fraud", "ok"]),
        threshold=0.8,
        positive="fraud",
    )
    assert app.question == Question("binary", 0.8, "fraud", "ok")
    sure = app.champion(0)
    assert bind(sure, app.question).predict({})[0] == "ok"
    assert bind(sure, replace(app, threshold=0.6).question).predict({})[0] == "fraud"
    assert replace(app, threshold=0.2, positive="ok").question == Question("binary", 0.2, "ok", "fraud")


def test_a_weight_reaches_the_model() -> None:
    """A label of weight 3 moves the model as `w=3` does, and one of weight 1 as no weight does."""
    bare, served = MODELS["logistic"](), MODELS["logistic"]()
    calls = bind(served, Question("binary"))
    for i, (x, y) in enumerate(datasets.Phishing().take(100)):
        calls.learn(x, y, 1.0 + i % 3)
        bare.learn_one(x, y, w=1.0 + i % 3) if i % 3 else bare.learn_one(x, y)
        assert served.predict_proba_one(x) == bare.predict_proba_one(x)


def test_a_model_that_has_seen_nothing_is_cold() -> None:
    """Empty probabilities are no answer, and neither is None from a regressor."""
    assert bind(naive_bayes.GaussianNB(), Question("binary")).predict({"x": 1}) == COLD
    assert bind(naive_bayes.GaussianNB(), Question("binary", 0.5)).predict({"x": 1}) == COLD
    assert bind(Answering(None), Question("regression")).predict({"x": 1}) == COLD


class Answering(base.Regressor):
    """Says what it was told to say, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict_one(self, x: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    score_one = predict_one

    def learn_one(self, x: Any, y: Any = None) -> None:
        self.predict_one(x)


class Sure(base.Classifier):
    """Answers with the probabilities that it was given."""

    def __init__(self, probabilities: dict[Any, float]) -> None:
        self.probabilities = probabilities

    def predict_proba_one(self, x: Any, **kwargs: Any) -> dict[Any, float]:
        return self.probabilities

    def learn_one(self, x: Any, y: Any) -> None:
        raise RuntimeError("cannot learn")


@pytest.mark.parametrize(
    "answer", [float("nan"), float("inf"), -float("inf"), "text", ZeroDivisionError("x")]
)
@pytest.mark.parametrize("task", ["regression", "anomaly"])
def test_a_value_that_is_no_finite_number_is_a_fault(answer: Any, task: str) -> None:
    """NaN, infinities, text and exceptions never leave the model as an answer."""
    with pytest.raises(ModelFault):
        bind(Answering(answer), Question(task)).predict({"x": 1})


@pytest.mark.parametrize("first", [True, False])
def test_the_first_of_equally_likely_classes_is_the_answer(first: bool) -> None:
    """As River decides, whatever the order in which the model names them."""
    model = Sure({first: 0.5, not first: 0.5})
    assert bind(model, Question("binary")).predict({"x": 1})[0] is first is model.predict_one({"x": 1})


def test_an_answer_stays_what_it_was_when_the_model_goes_on_with_its_own() -> None:
    """What was served is scored and written later, and must not follow the model."""
    own = {True: 0.75, False: 0.25}
    answer = bind(Sure(own), Question("binary")).predict({"x": 1})
    own[True] = 0.0
    assert answer == (True, {True: 0.75, False: 0.25})


@pytest.mark.parametrize("p", [float("nan"), float("inf")])
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_a_probability_that_is_not_finite_is_a_fault(p: float, threshold: float | None) -> None:
    """One NaN among the probabilities refuses the answer."""
    with pytest.raises(ModelFault):
        bind(Sure({True: p, False: 0.5}), Question("binary", threshold)).predict({"x": 1})


def test_a_model_that_raises_while_learning_is_a_fault() -> None:
    """The fault names what was raised."""
    with pytest.raises(ModelFault, match="RuntimeError: cannot learn"):
        bind(Sure({True: 1.0}), Question("binary")).learn({"x": 1}, True, 1.0)
    with pytest.raises(ModelFault, match="ZeroDivisionError"):
        bind(Answering(ZeroDivisionError("no")), Question("anomaly")).learn({"x": 1}, None, 1.0)
