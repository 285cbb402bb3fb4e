"""Linear models: weight × value, which is all that they compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from river import linear_model, optim
from river.linear_model.base import GLM
from river.linear_model.pa import BasePA

from stream_app.models.explanations.explanation import LOG_ODDS, SCORE, VALUE
from stream_app.models.explanations.origins import is_a


class Linear(NamedTuple):
    """The terms of a linear model for the class `about`, of softmax against another one."""

    unit: str
    base: float
    terms: dict[Any, float]
    about: Any = None
    against: Any = None


def linear_terms(model: Any, row: Mapping[Any, Any], about: Any, probabilities: Any) -> Linear | None:
    """Give what a linear model adds up; None for other models.

    A subclass may answer otherwise: compare the sum with its answer.
    """
    if is_a(model, linear_model.SoftmaxRegression):
        return softmax(model, row, about, probabilities)
    if is_a(model, GLM):
        unit = (LOG_ODDS if is_a(model.loss, optim.losses.Log) else SCORE) if probabilities else VALUE
        base, weights = model.intercept, model._weights  # noqa: SLF001  # `weights` copies all of them
    elif is_a(model, BasePA):
        unit, base, weights = LOG_ODDS if probabilities else VALUE, model.intercept, model.weights
    elif is_a(model, linear_model.ALMAClassifier):
        unit, base, weights = LOG_ODDS, 0.0, model.w
    else:
        return None
    get = weights.get
    if probabilities and about is False:  # what speaks for True speaks against False
        return Linear(
            unit, -base, {name: -get(name, 0.0) * value for name, value in row.items()}, about, True
        )
    terms = {name: get(name, 0.0) * value for name, value in row.items()}
    return Linear(unit, base, terms, about, None if about is None else False)


def softmax(
    model: linear_model.SoftmaxRegression, row: Mapping[Any, Any], about: Any, probabilities: Any
) -> Linear | None:
    """A class against the likeliest of the others."""
    others = [label for label in probabilities if label != about]
    if not others:
        return None
    against = max(others, key=probabilities.__getitem__)
    nothing: dict[Any, float] = {}
    ours, theirs = model.weights.get(about, nothing), model.weights.get(against, nothing)
    terms = {name: (ours.get(name, 0.0) - theirs.get(name, 0.0)) * value for name, value in row.items()}
    return Linear(LOG_ODDS, 0.0, terms, about, against)
