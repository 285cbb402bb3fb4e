"""Every record is judged by the learner's own rules before the first one is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_app.application import Application
from stream_app.cli.produce.columns import Row
from stream_app.errors import UsageError
from stream_app.flow.record_rules import FeatureRules, features_for_models, label_type_fault
from topics.codec import Rejected
from topics.records import KINDS

SHOWN = 3  # rows that a refusal names


def check_features(app: Application, file: str, rows: Sequence[Row], columns: frozenset[str]) -> None:
    """Refuse features that a learner of this definition would refuse, and columns that change their type.

    Where the definition does more with null than to leave it out, cells that are missing become null.

    Raises:
        UsageError: the first fault, and how many rows have it.
    """
    rules = FeatureRules(app)
    known = dict(rules.kinds)
    faults: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if app.missing != "skip":
            row.update(dict.fromkeys(columns - row.keys()))
        features = {name: value for name, value in row.items() if name in columns}
        taken = features_for_models(rules, known, {}, {}, False, features)
        if isinstance(taken, Rejected):
            faults.setdefault(taken.message, []).append(number)
        elif len(known) < app.limits.max_feature_names:
            known |= {name: KINDS[type(value)] for name, value in taken.items() if name not in known}
    refuse(file, faults, "--drop leaves a column out, --types COL=TYPE says what it is")


def check_labels(app: Application, file: str, rows: Sequence[Row], column: str) -> None:
    """Refuse labels that a learner of this definition would refuse, by their type and by declared classes.

    Raises:
        UsageError: the first fault, and how many rows have it.
    """
    declared = app.labels.classes if app.labels is not None else None
    faults: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if column not in row:
            continue
        label = row[column]
        fault = label_type_fault(app, label)
        if fault is None and declared is not None and not is_among(label, declared):
            fault = Rejected("", f"{label!r} is not among the declared classes, {list(declared)!r}")
        if fault is not None:
            faults.setdefault(f"column {column}: {fault.message}", []).append(number)
    refuse(file, faults, f"--types {column}=TYPE says what it is: number, string or bool")


def is_among(label: Any, classes: Sequence[Any]) -> bool:
    """Whether a label is one of the classes, by value and by type: True is not 1."""
    return any(label == one and type(label) is type(one) for one in classes)


def refuse(file: str, faults: dict[str, list[int]], fix: str) -> None:
    """Raise the first fault, if there is one."""
    for message, rows in faults.items():
        named = ", ".join(map(str, rows[:SHOWN])) + (", …" if len(rows) > SHOWN else "")
        where = f"row {named}" if len(rows) == 1 else f"{len(rows)} rows ({named})"
        raise UsageError(f"{file} {where}: {message}", f"{fix}. Nothing was sent")


def as_classes(app: Application, rows: Sequence[Row], column: str) -> str:
    """Turn labels into classes as the definition has them, in place; say what was done, or nothing.

    pandas writes whole numbers as 1.0 where some are missing; and a label that is 0 or 1 is False or True
    where the definition says that the classes are booleans.
    """
    if app.task not in ("binary", "multiclass"):
        return ""
    labels = [row[column] for row in rows if column in row]
    note = ""
    if labels and all(isinstance(label, float) and label.is_integer() for label in labels):
        for row in rows:
            if column in row:
                row[column] = int(row[column])
        note = "whole numbers as classes"
    declared = app.labels.classes if app.labels is not None else None
    are_booleans = declared is not None and all(type(one) is bool for one in declared)
    if are_booleans and labels and all(type(label) is not bool and label in (0, 1) for label in labels):
        for row in rows:
            if column in row:
                row[column] = row[column] == 1
        note = "0 and 1 as false and true"
    return note
