"""Linear models: weight × value, which is all that they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from river import linear_model, optim
from river.linear_model.base import GLM
from river.linear_model.pa import BasePA

from stream_app.models.explanations.explanation import LOG_ODDS, SCORE, VALUE

Terms = tuple[str, float, dict[Any, float], Any, Any]  # unit, base, terms, about, against
Family = Callable[[Any, Mapping[Any, Any], Any, Any], Terms | None]


@cache
def family_of(kind: Any) -> Family | None:
    """How models of a class add up their terms; None where it is no linear one.

    A subclass may answer otherwise: compare the sum with its answer.
    """
    families: dict[Any, Family] = {
        linear_model.SoftmaxRegression: softmax,
        GLM: generalized,
        BasePA: passive_aggressive,
        linear_model.ALMAClassifier: alma,
    }
    return next((found for family, found in families.items() if issubclass(kind, family)), None)


def generalized(model: Any, row: Mapping[Any, Any], about: Any, probabilities: Any) -> Terms:
    """Linear and logistic regression, perceptron."""
    unit = VALUE if not probabilities else LOG_ODDS if type(model.loss) is optim.losses.Log else SCORE
    # `weights` copies all of them
    return weighed(unit, model.intercept, model._weights, row, about, probabilities)  # noqa: SLF001


def passive_aggressive(model: Any, row: Mapping[Any, Any], about: Any, probabilities: Any) -> Terms:
    """Passive-aggressive classifier and regressor."""
    unit = LOG_ODDS if probabilities else VALUE
    return weighed(unit, model.intercept, model.weights, row, about, probabilities)


def alma(model: Any, row: Mapping[Any, Any], about: Any, probabilities: Any) -> Terms:
    """Approximate large margin classifier."""
    return weighed(LOG_ODDS, 0.0, model.w, row, about, probabilities)


def weighed(
    unit: str, base: float, weights: Any, row: Mapping[Any, Any], about: Any, probabilities: Any
) -> Terms:
    """One weight per feature; what speaks for True speaks against False."""
    get = weights.get
    if probabilities and about is False:
        return unit, -base, {name: -get(name, 0.0) * value for name, value in row.items()}, about, True
    terms = {name: get(name, 0.0) * value for name, value in row.items()}
    return unit, base, terms, about, None if about is None else False


def softmax(model: Any, row: Mapping[Any, Any], about: Any, probabilities: Any) -> Terms | None:
    """A class against the likeliest of the others."""
    others = [label for label in probabilities if label != about]
    if not others:
        return None
    against = max(others, key=probabilities.__getitem__)
    nothing: dict[Any, float] = {}
    ours, theirs = model.weights.get(about, nothing), model.weights.get(against, nothing)
    terms = {name: (ours.get(name, 0.0) - theirs.get(name, 0.0)) * value for name, value in row.items()}
    return LOG_ODDS, 0.0, terms, about, against
