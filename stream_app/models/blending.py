"""Several models answer as one: the weighted mean of their answers."""

from __future__ import annotations

from typing import Any

from stream_app.models.question import COLD, Answer, Question


def blended(weights: list[float], answers: list[Answer], question: Question) -> Answer:
    """The mean of the answers by these weights; those that are cold have no part in it.

    Classes: the mean of the probabilities; an answer without any counts as sure. The sums are in the order of
    the answers, so that a predictor comes to the learner's bits.

    >>> blended([0.5, 0.25, 0.25], [(2.0, None), COLD, (5.0, None)], Question("regression"))
    (3.0, None)
    >>> blended([0.5, 0.5], [(True, {True: 1.0}), (False, {False: 0.75, True: 0.25})], Question("binary"))
    (True, {True: 0.625, False: 0.375})
    """
    if question.task == "regression":
        return mean(weights, answers)
    mass = 0.0
    sums: dict[Any, float] = {}
    for weight, answer in zip(weights, answers, strict=True):
        prediction, probabilities = answer
        if prediction is None or weight == 0.0:  # a predictor does not get a model without weight
            continue
        mass += weight
        for label, p in ({prediction: 1.0} if probabilities is None else probabilities).items():
            sums[label] = sums.get(label, 0.0) + weight * p
    if mass <= 0.0:
        return COLD
    found = {label: total / mass for label, total in sums.items()}
    if question.threshold is not None:
        above = found.get(question.positive, 0.0) > question.threshold
        return (question.positive if above else question.negative), found
    likeliest, largest = None, -1.0
    for label, p in found.items():
        if p > largest:  # the first of equals, as max() would
            likeliest, largest = label, p
    return likeliest, found


def mean(weights: list[float], answers: list[Answer]) -> Answer:
    """The same of values."""
    mass, total = 0.0, 0.0
    for weight, answer in zip(weights, answers, strict=True):
        if answer[0] is not None and weight != 0.0:
            mass += weight
            total += weight * answer[0]
    return (total / mass, None) if mass > 0.0 else COLD
