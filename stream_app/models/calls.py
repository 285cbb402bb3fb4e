"""The model's calls, bound once: what a slot serves is what River itself would answer, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf, isfinite
from typing import Any, Final

from river import base, compose

from stream_app.errors import MACHINE
from stream_app.models.blending import blended
from stream_app.models.question import COLD, Answer, Question

__all__ = ["COLD", "PLAIN", "Answer", "Calls", "ModelFault", "answer", "bind", "replies", "reply"]
PLAIN: Final = (bool, str, int, float)  # what a class or a value may be, so that JSON can carry it


class ModelFault(Exception):
    """The model raised, or gave what is not an answer.

    From `predict`: treat it as a cold answer, the row can still be learned. From `learn`: what the model has
    learned of the row is unknown; refuse the record (champion) or drop the slot.
    """


class Calls:
    """`predict(row)` gives (prediction, probabilities), None twice when cold."""

    def __init__(
        self,
        predict: Callable[[dict[str, Any]], Answer],
        learn_one: Callable[..., Any],
        *,
        labelled: bool = True,
    ) -> None:
        self.predict = predict
        self.learn_one = learn_one
        self.labelled = labelled

    def learn(self, row: dict[str, Any], label: Any, weight: float) -> None:
        """Learn a row; a weight of 1 is not passed, since not every model takes one.

        Raises:
            ModelFault: the model failed; what it has learned of the row is not known.
        """
        try:
            if not self.labelled:
                self.learn_one(row)
            elif weight == 1.0:
                self.learn_one(row, label)
            else:
                self.learn_one(row, label, w=weight)
        except MACHINE:
            raise
        except Exception as error:
            raise fault(error) from error


def bind(model: Any, question: Question) -> Calls:
    """Bind a model's calls."""
    if question.task == "anomaly":
        return Calls(one_value(model.score_one), model.learn_one, labelled=False)
    return Calls(answer(model, question), model.learn_one)


def bind_blend(models: list[Any], weights: list[float], question: Question) -> Calls:
    """Bind the calls of models whose answers are blended, to predict alone; None is one that is not asked."""
    members = [None if model is None else bind(model, question) for model in models]

    def predict(row: dict[str, Any]) -> Answer:
        answers = [COLD if calls is None else reply(calls, row) for calls in members]
        return blended(weights, answers, question)

    return Calls(predict, no_lesson)


def no_lesson(*_: Any) -> None:
    """Refuse: published models learn in the learner."""
    raise TypeError("published models learn nothing")


def answer(model: Any, question: Question) -> Callable[[dict[str, Any]], Answer]:
    """How a model that learns from labels answers."""
    if question.task == "regression":
        return one_value(model.predict_one)
    if not gives_probabilities(model):
        return one_class(model.predict_one)
    if question.threshold is not None:
        return by_threshold(model.predict_proba_one, question)
    if overrides_predict(model):
        return both(model.predict_one, model.predict_proba_one)
    return by_argmax(model.predict_proba_one)


def reply(calls: Calls, row: dict[str, Any]) -> Answer:
    """The answer to one row; cold where the model has none."""
    try:
        return calls.predict(row)
    except ModelFault:
        return COLD


def replies(calls: Calls, rows: Iterable[dict[str, Any]]) -> list[str]:
    """Answers to sample rows, to the bit. Ask a copy: a prediction may change the model."""
    return [repr(reply(calls, row)) for row in rows]


def last_step(model: Any) -> Any:
    """The step of a pipeline that answers; wrappers that are no pipeline answer for themselves."""
    while isinstance(model, compose.Pipeline):
        model = list(model.steps.values())[-1]
    return model


def gives_probabilities(model: Any) -> bool:
    """Whether the answering step implements predict_proba_one itself."""
    step = last_step(model)
    implementation = getattr(type(step), "predict_proba_one", None)
    if implementation is None or implementation is base.Classifier.predict_proba_one:
        return False
    inner = getattr(step, "classifier", None)
    return inner is None or not isinstance(step, base.Wrapper) or gives_probabilities(inner)


def overrides_predict(model: Any) -> bool:
    """Whether the answering step decides in another way than by its largest probability."""
    return type(last_step(model)).predict_one is not base.Classifier.predict_one


def fault(error: Exception) -> ModelFault:
    """What a model raised, as a fault."""
    return ModelFault(f"{type(error).__name__}: {error}")


def by_argmax(
    predict_proba: Callable[[dict[str, Any]], dict[Any, float]],
) -> Callable[[dict[str, Any]], Answer]:
    """The likeliest class, as `Classifier.predict_one` decides."""

    def predict(row: dict[str, Any]) -> Answer:
        try:
            probabilities = predict_proba(row)
        except MACHINE:
            raise
        except Exception as error:
            raise fault(error) from error
        if not probabilities:
            return COLD
        likeliest, largest, total = None, -inf, 0.0
        for label, p in probabilities.items():
            if type(label) not in PLAIN:
                raise ModelFault(f"the model answers a class of type {type(label).__name__}")
            total += p
            if p > largest:  # the first of equals, as max() would
                likeliest, largest = label, p
        if not isfinite(total):  # a NaN or an infinity among them: the sum carries either
            raise ModelFault(f"the model answers {probabilities}")
        return likeliest, dict(probabilities)  # the model may go on with the one it gave

    return predict


def by_threshold(
    predict_proba: Callable[[dict[str, Any]], dict[Any, float]], question: Question
) -> Callable[[dict[str, Any]], Answer]:
    """The positive class where its probability is above the threshold, else the negative one."""
    argmax = by_argmax(predict_proba)
    threshold, positive, negative = question.threshold or 0.0, question.positive, question.negative

    def predict(row: dict[str, Any]) -> Answer:
        answer = argmax(row)
        probabilities = answer[1]
        if probabilities is None:
            return COLD
        above = probabilities.get(positive, 0.0) > threshold
        return positive if above else negative, probabilities

    return predict


def both(
    predict_one: Callable[[dict[str, Any]], Any], predict_proba: Callable[[dict[str, Any]], dict[Any, float]]
) -> Callable[[dict[str, Any]], Answer]:
    """The class that the model itself decides on, and its probabilities."""
    one, argmax = one_class(predict_one), by_argmax(predict_proba)

    def predict(row: dict[str, Any]) -> Answer:
        return one(row)[0], argmax(row)[1]

    return predict


def one_class(predict_one: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Answer]:
    """Answer with the class alone, without probabilities."""

    def predict(row: dict[str, Any]) -> Answer:
        try:
            found = predict_one(row)
        except MACHINE:
            raise
        except Exception as error:
            raise fault(error) from error
        if found is None or type(found) in PLAIN:
            return found, None
        if type(getattr(found, "item", lambda: None)()) in PLAIN:  # a scalar of numpy
            return found.item(), None
        raise ModelFault(f"the model answers a {type(found).__name__}, not a class")

    return predict


def one_value(predict_one: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Answer]:
    """Answer with a finite number, or cold."""

    def predict(row: dict[str, Any]) -> Answer:
        try:
            value = predict_one(row)
            if value is None:
                return COLD
            value = float(value)
        except MACHINE:
            raise
        except Exception as error:
            raise fault(error) from error
        if not isfinite(value):
            raise ModelFault(f"the model answers {value}")
        return value, None

    return predict
