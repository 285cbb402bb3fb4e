"""An explanation as clients get it: the strongest terms, the rest in one, and a sentence for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import fsum
from typing import Any

from stream_app.models.explanations.explanation import LOG_ODDS, PROBABILITY, VALUE, Explanation

MOST_TERMS = 50  # that anybody gets
FEW_TIMES = 1.5  # the usual, from which on "times" says more than a difference


def report(
    found: Explanation, row: Mapping[str, Any], usual: Mapping[str, float], own: Collection[str], most: int
) -> dict[str, Any]:
    """Give the `most` strongest terms, each with a sentence.

    `usual` holds the mean of numeric features, `own` the names of the entity's own statistics.
    """
    document = in_numbers(found, row, most)
    for part in document["contributions"]:
        part["reason"] = reason(found, part["feature"], part["contribution"], row, usual, own)
    return document


def in_numbers(found: Explanation, row: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Give the `most` strongest terms; `base` + their contributions + `rest` is `sum`."""
    strongest = found.strongest(most)
    rest = fsum(found.terms.values()) - fsum(term for _, term in strongest)
    document: dict[str, Any] = {
        "method": found.method,
        "exact": found.exact,
        "unit": found.unit,
        "base": found.base,
        "contributions": [
            {"feature": name, "value": row.get(name), "contribution": term} for name, term in strongest
        ],
        "rest": rest,
        "sum": found.total,
    }
    if found.about is not None:
        document["about"] = found.about
    if found.against is not None:
        document["against"] = found.against
    return document


def reason(
    found: Explanation,
    name: str,
    term: float,
    row: Mapping[str, Any],
    usual: Mapping[str, float],
    own: Collection[str],
) -> str:
    """A sentence: the value, how unusual it is, and what it does to the answer."""
    return f"{standing(name, row, usual, own)}; {effect(found, term)}"


def standing(name: str, row: Mapping[str, Any], usual: Mapping[str, float], own: Collection[str]) -> str:
    """The value beside what is usual: for this entity where the row says so, else for all.

    >>> standing("amount", {"amount": 950.0, "mean_amount_30d": 226.0}, {}, {"mean_amount_30d"})
    "amount is 950, 4.2 times this entity's mean_amount_30d of 226"
    >>> standing("amount", {"amount": 20}, {"amount": 21.5}, ())
    'amount is 20, about the usual 21.5'
    """
    if name not in row:
        known = name in usual or name in own
        return f"{name} is missing" if known else f"{name} is no feature of the event"
    value = row[name]
    if type(value) not in (int, float):
        return f"{name} is {value}"
    said = f"{name} is {value:.6g}"
    for other in own:
        if other != name and other.startswith(f"mean_{name}_") and type(row.get(other)) is float:
            return f"{said}, {beside(value, row[other])} this entity's {other} of {row[other]:.3g}"
    if name in usual:
        return f"{said}, {beside(value, usual[name])} the usual {usual[name]:.3g}"
    return said


def beside(value: float, typical: float) -> str:
    """How a value compares with a typical one.

    >>> [beside(value, 10.0) for value in (42.0, 12.0, 10.2, 3.0, 0.0)]
    ['4.2 times', 'more than', 'about', '0.3 times', 'less than']
    """
    times = value / typical if typical else 0.0
    if times >= FEW_TIMES or 0.0 < times <= 1.0 / FEW_TIMES:
        return f"{times:.2g} times"
    if abs(times - 1.0) < 0.05 or value == typical:
        return "about"
    return "more than" if value > typical else "less than"


def effect(found: Explanation, term: float) -> str:
    """What a term does to the answer."""
    if found.unit in (LOG_ODDS, PROBABILITY):
        towards = "for" if term > 0.0 else "against"
        if found.unit == PROBABILITY:
            return f"it speaks {towards} {text(found.about)} ({term * 100:+.1f} points)"
        return f"it speaks {towards} {text(found.about)} ({term:+.3g} log-odds)"
    what = "the prediction" if found.unit == VALUE else "the score"
    return f"it {'raises' if term > 0.0 else 'lowers'} {what} by {abs(term):.4g}"


def text(label: Any) -> str:
    """A class as JSON writes it."""
    return {True: "true", False: "false"}[label] if type(label) is bool else str(label)
