"""Explains one answer of a model, exactly where its kind allows, else by what changes without a feature."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import fsum, isclose
from typing import Any, Final

from river.tree.hoeffding_tree import HoeffdingTree

from stream_app.errors import MACHINE
from stream_app.models.calls import COLD, Answer, bind, reply
from stream_app.models.explanations.explanation import (
    LOG_ODDS,
    PROBABILITY,
    SCORE,
    VALUE,
    Explanation,
    logistic,
    summed,
)
from stream_app.models.explanations.linear import Family, family_of
from stream_app.models.explanations.origins import MOST_TRIED, Transformed, steps_of
from stream_app.models.explanations.tree import Paths
from stream_app.models.question import Question

NEAR: Final = 1e-9  # between what an explanation adds up to and the answer
CLAMPED: Final = 1e-6  # River cuts probabilities off near 0 and 1

Row = dict[str, Any]


def explain(model: Any, row: Row, question: Question, answer: Answer) -> Explanation | None:
    """Explain the answer that a model just gave to a row; None where it is cold.

    The model is asked again, so give a copy, or one that nobody goes on with: many models of River remember
    names that they are asked about. Removal costs a prediction per feature.
    """
    if answer[0] is None:
        return None
    about = class_of(question, answer)
    return by_kind(model, row, about, answer) or by_removal(model, row, question, about, answer)


def explain_blend(
    models: Sequence[Any], weights: Sequence[float], row: Row, question: Question, answer: Answer
) -> Explanation | None:
    """Explain a blend's answer by the weighted sum of its members' explanations; None where all are cold.

    `models` and `weights` are in the blend's order; None stands for a model that is not asked.
    """
    if answer[0] is None:
        return None
    about = class_of(question, answer)
    mass, base, exact = 0.0, 0.0, True
    terms: dict[str, float] = {}
    for model, weight in zip(models, weights, strict=True):
        reached = COLD if model is None or not weight else reply(bind(model, question), row)
        if reached[0] is None:
            continue
        part = member(model, row, question, about, reached)
        mass, base, exact = mass + weight, base + weight * part.base, exact and part.exact
        terms = summed(terms, part.terms, weight)
    terms = {name: term / mass for name, term in terms.items()}
    unit = VALUE if about is None else PROBABILITY
    return Explanation("blend", exact, unit, base / mass, terms, about)


def member(model: Any, row: Row, question: Question, about: Any, answer: Answer) -> Explanation:
    """Explain a blend's member in what is blended: a probability, or a value."""
    found = by_kind(model, row, about, answer)
    if found is not None and found.unit == LOG_ODDS and len(answer[1] or ()) == 2:
        return found.as_probability(share(answer, about))._replace(exact=False)
    if found is not None and found.unit in (VALUE, PROBABILITY):
        return found
    return by_removal(model, row, question, about, answer)


def class_of(question: Question, answer: Answer) -> Any:
    """The class that an explanation is about: of two the positive one, else the one that was answered."""
    if question.task not in ("binary", "multiclass"):
        return None
    prediction, probabilities = answer
    labels = probabilities or {prediction: 1.0}
    if question.task == "binary":
        for label in labels:  # 1 equals True, and is another class
            if label == question.positive and type(label) is type(question.positive):
                return label
    return prediction


def share(answer: Answer, about: Any) -> float:
    """The probability of a class in an answer, which is sure without any; the value of others."""
    prediction, probabilities = answer
    if about is None:
        return float(prediction)
    return float(prediction == about) if probabilities is None else probabilities.get(about, 0.0)


def by_kind(model: Any, row: Row, about: Any, answer: Answer) -> Explanation | None:
    """Explain by what a model is made of; None where it is of no such kind, or answers otherwise."""
    if about is not None and answer[1] is None:
        return None  # nothing says how sure it is
    *transformers, last = steps_of(model)
    kind: Any = type(last)
    family = family_of(kind)
    try:
        if family is not None:
            return by_weights(family, last, Transformed(transformers, row), about, answer)
        if is_tree(kind):
            return by_path(last, Transformed(transformers, row), about, answer)
    except MACHINE:
        raise
    except Exception:  # noqa: BLE001  # a user's subclass may be of another shape inside
        return None
    return None


@cache
def is_tree(kind: Any) -> bool:
    """Whether a class is a Hoeffding tree."""
    return issubclass(kind, HoeffdingTree)


def by_path(tree: Any, passed: Transformed, about: Any, answer: Answer) -> Explanation:
    """Explain a Hoeffding tree's answer."""
    parts, exact = Paths(tree, passed.row, about).terms()
    terms, alone = passed.terms(parts)
    exact = exact and alone
    base = share(answer, about) - fsum(terms.values())
    return Explanation("path", exact, VALUE if about is None else PROBABILITY, base, terms, about)


def by_weights(
    family: Family, model: Any, passed: Transformed, about: Any, answer: Answer
) -> Explanation | None:
    """Explain a linear model's answer; None where it computes something else from its sum."""
    added = family(model, passed.row, about, answer[1])
    if added is None:
        return None
    unit, base, terms, about, against = added
    terms, alone = passed.terms(terms)
    found = Explanation("linear", alone, unit, base, terms, about, against)
    return found if comes_to(found, answer) else None


def comes_to(found: Explanation, answer: Answer) -> bool:
    """Whether a linear explanation adds up to the answer."""
    prediction, probabilities = answer
    total = found.total
    if found.unit == VALUE:
        return isclose(total, prediction, rel_tol=NEAR, abs_tol=NEAR)
    if found.unit == SCORE:
        return True
    chances = probabilities or {}
    ours, theirs = chances.get(found.about, 0.0), chances.get(found.against, 0.0)
    return ours + theirs > 0.0 and abs(ours / (ours + theirs) - logistic(total)) < CLAMPED


def by_removal(model: Any, row: Row, question: Question, about: Any, answer: Answer) -> Explanation:
    """Explain by the answer without each feature; where that is none, the feature's term is 0.

    Of a long row several features go together, so that no row takes more than `MOST_TRIED` predictions.
    """
    calls, full = bind(model, question), share(answer, about)
    terms: dict[str, float] = {}
    together = -(-len(row) // MOST_TRIED)
    names = list(row)
    for first in range(0, len(names), together or 1):
        gone = names[first : first + together]
        rest = reply(calls, {other: value for other, value in row.items() if other not in gone})
        part = 0.0 if rest[0] is None else (full - share(rest, about)) / len(gone)
        terms |= dict.fromkeys(gone, part)
    unit = {"anomaly": SCORE, "regression": VALUE}.get(question.task, PROBABILITY)
    return Explanation("removal", False, unit, full - fsum(terms.values()), terms, about)
