"""How the answers of two versions differ on the same rows; copies are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.models.calls import COLD, Answer, bind, reply
from stream_app.state.shard import ShardState
from stream_app.state.slot import Slot

MOST_ROWS = 1_000
SHOWN = 5  # rows that differ most


class RowDiffers(msgspec.Struct):
    """One row and both answers; `by` is how far they are apart."""

    row: dict[str, Any]
    first: Any
    second: Any
    by: float


class AnswersDiffer(msgspec.Struct):
    """Over `rows` that both answered: the share of different answers, and their mean difference.

    Of classes the difference of two answers is half the sum over classes of |p − q| (of two classes: how far
    the probabilities are apart), without probabilities 0 or 1; of values it is |a − b|. `silent` counts the
    rows that only the other one answered, for the first and the second.
    """

    rows: int
    different: float | None
    mean_difference: float | None
    silent: tuple[int, int]
    most: list[RowDiffers]


def rows_of(state: ShardState) -> list[dict[str, Any]]:
    """The rows that a shard holds: its sample, those that wait for labels, and the newest learned ones."""
    rows = [dict(row) for row in state.sample_rows]
    rows += [dict(waiting.row) for waiting in state.pending.items.values()]
    rows += [dict(row) for row, _, _ in reversed(state.recent)]
    return rows[:MOST_ROWS]


def compare(
    app: Application,
    first: Slot,
    second: Slot,
    rows: Sequence[dict[str, Any]],
    copy: Callable[[Any], Any],
) -> AnswersDiffer:
    """Ask both the same rows."""
    values = app.task in ("regression", "anomaly")
    answers = [answers_of(app, slot, rows, copy) for slot in (first, second)]
    pairs = [(row, one, other) for row, one, other in zip(rows, *answers, strict=True)]
    both = [(row, one, other) for row, one, other in pairs if one[0] is not None and other[0] is not None]
    silent = (
        sum(one[0] is None and other[0] is not None for _, one, other in pairs),
        sum(other[0] is None and one[0] is not None for _, one, other in pairs),
    )
    found = [
        RowDiffers(row, shown(one), shown(other), distance(one, other, values=values))
        for row, one, other in both
    ]
    differ = sum(one[0] != other[0] for _, one, other in both)
    n = len(found)
    most = sorted((row for row in found if row.by > 0), key=lambda row: -row.by)[:SHOWN]
    return AnswersDiffer(
        n,
        differ / n if n else None,
        sum(row.by for row in found) / n if n else None,
        silent,
        most,
    )


def answers_of(
    app: Application, slot: Slot, rows: Sequence[dict[str, Any]], copy: Callable[[Any], Any]
) -> list[Answer]:
    """What a copy of a slot's model answers."""
    if slot.cold:
        return [COLD] * len(rows)
    calls = bind(copy(slot.model), app.question)
    return [reply(calls, dict(row)) for row in rows]


def distance(one: Answer, other: Answer, *, values: bool) -> float:
    """How far two answers are apart; `values`: they are numbers, not classes.

    >>> distance((True, {True: 0.75, False: 0.25}), (False, {True: 0.25, False: 0.75}), values=False)
    0.5
    >>> distance((2.0, None), (5.0, None), values=True), distance(("a", None), ("b", None), values=False)
    (3.0, 1.0)
    """
    if one[1] is not None and other[1] is not None:
        p, q = one[1], other[1]
        return sum(abs(p.get(label, 0.0) - q.get(label, 0.0)) for label in {**p, **q}) / 2
    return abs(float(one[0]) - float(other[0])) if values else float(one[0] != other[0])


def shown(answer: Answer) -> Any:
    """An answer as JSON: the class or value, and probabilities by the class's text."""
    prediction, probabilities = answer
    if probabilities is None:
        return prediction
    return {"prediction": prediction, "probabilities": by_text(probabilities)}


def by_text(probabilities: Mapping[Any, float]) -> dict[str, float]:
    """Probabilities under names that JSON can carry."""
    return {
        str(label).lower() if type(label) is bool else str(label): p for label, p in probabilities.items()
    }
