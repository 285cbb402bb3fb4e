"""What a trained model must bear: questions about anything, in any order, and a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from stream_app.models.calls import Answer, Calls, ModelFault, bind, reply
from stream_app.models.question import Question
from stream_app.models.sample import Lessons, Row

RoundTrip = Callable[[Any], Any]
RefillSets = Callable[[list[Any]], None]
GOES_ON = 20  # rows that are learned after the questions
NEW_NAME, NEW_WORD = "never-seen-before", "never seen before"


class Storage(NamedTuple):
    """`round_trip` stores a model and loads it as recovery would; `refill_sets` lays out the sets of live
    models as those that are loaded then.
    """

    round_trip: RoundTrip
    refill_sets: RefillSets


def leave(_models: list[Any]) -> None:
    """Leave sets as they are."""


def behaviour(
    model: Any, rows: Lessons, after: Lessons, question: Question, storage: Storage
) -> Iterator[tuple[str, str]]:
    """Reasons and fixes; `model` has learned `rows`, and goes on with those `after` them.

    Answers are compared, not states: many models remember what they were asked and answer alike.
    """
    try:
        copies = [storage.round_trip(model) for _ in range(4)]
        storage.refill_sets([model])
    except Exception as error:  # noqa: BLE001  # pickling may raise anything
        fix = "use named functions and classes of the definition's own module inside models"
        yield f"a snapshot cannot hold the model ({error})", fix
        return
    stored, one, other, unasked = (bind(copy, question) for copy in copies)
    live, row = bind(model, question), rows[0][0]
    if reply(stored, row) != reply(live, row):
        yield (
            "the model answers differently after a snapshot",
            "use another model, and report it to its authors",
        )
        return
    questions = list(strange(row))
    first = [reply(one, asked) for asked in questions]
    backwards = [reply(other, asked) for asked in reversed(questions)][::-1]
    if first != backwards or first != [reply(one, asked) for asked in questions]:
        fix = (
            "leave out learn_during_predict; give a factorization machine "
            "latent_initializer=optim.initializers.Constant(0.1), since it draws factors when it is asked"
        )
        yield "the answer to a row depends on which rows were asked before it", fix
        return
    for row, label in rows[:GOES_ON]:
        if reply(one, row) != reply(unasked, row):
            yield (
                "predicting changes the model's later answers",
                "leave out learn_during_predict and whatever else learns from questions",
            )
            return
        lesson(one, row, label)
        lesson(unasked, row, label)
    for row, label in after:
        if reply(stored, row) != reply(live, row):
            fix = "let it hold no frozenset, store no copy of a set, and take no members from one by pop()"
            yield "the model goes on differently after a snapshot", fix
            return
        lesson(stored, row, label)
        lesson(live, row, label)


def strange(row: Row) -> Iterator[Row]:
    """Rows that differ from one that was learned: new names, new strings, fewer features."""
    yield row
    yield {**row, NEW_NAME: 0.5}
    yield {**row, NEW_NAME + "-text": NEW_WORD}
    for name, value in row.items():
        if isinstance(value, str):
            yield {**row, name: NEW_WORD}
            yield {**row, name: NEW_WORD + " either"}
        if len(row) > 1:
            yield {other: kept for other, kept in row.items() if other != name}
    yield {NEW_NAME: 2.0, NEW_NAME + "-text": NEW_WORD + " at all"}


def lesson(calls: Calls, row: Row, label: Any) -> None:
    """Learn one row; a fault is ignored, for it was reported before."""
    try:
        calls.learn(row, label, 1.0)
    except ModelFault:
        return


def answers_of(calls: Calls, rows: Lessons, weight: float) -> tuple[list[Answer], ModelFault | None]:
    """Every answer on the sample, each row learned after it, and a fault if the second half had no answer.

    Raises:
        ModelFault: a row could not be learned.
    """
    answers: list[Answer] = []
    silent, fault = 0, None
    for place, (row, label) in enumerate(rows):
        if place:  # a model that has learned nothing is not asked
            try:
                answers.append(calls.predict(row))
            except ModelFault as raised:
                answers.append((None, None))
                if place >= len(rows) // 2:
                    silent, fault = silent + 1, raised
        calls.learn(row, label, weight)
    return answers, fault if silent >= len(rows) // 2 else None
