"""What a definition says of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stream_app.durations import parse_duration
from stream_app.errors import UsageError
from topics.codec import texts_collide

NUMBERS = (int, float)
CLASSES = (bool, str, int)  # what JSON can distinguish without rounding
LARGEST_TARGET = 1e15  # as of a target that is sent


@dataclass(frozen=True, kw_only=True)
class Labels:
    """How labels arrive: within `horizon` of their event, else `on_timeout` is "drop" or "label" with
    `default`.

    `classes` closes the set; `max_classes` bounds an open one (2 for binary tasks). `hold_back`, of a
    binary task: labels of a key that contradicts all others are scored, not learned, at most 1,000 in a row.
    """

    horizon: str = "1h"
    on_timeout: str = "drop"
    default: Any = None
    classes: Sequence[Any] | None = None
    max_classes: int = 100
    hold_back: bool = False

    def __post_init__(self) -> None:
        parse_duration(self.horizon)
        if self.on_timeout not in ("drop", "label"):
            raise UsageError(f"on_timeout={self.on_timeout!r}", 'Use "drop", or "label" with default=')
        if (self.on_timeout == "label") != (self.default is not None):
            raise UsageError(
                "on_timeout and default do not fit", 'Give default= exactly with on_timeout="label"'
            )
        if self.classes is not None and texts_collide(self.classes):
            raise UsageError(
                f"classes {list(self.classes)!r} are equal in JSON or in Python",
                "Use classes of one JSON type",
            )
        if self.classes is not None and self.default is not None and self.default not in self.classes:
            raise UsageError(
                f"the default label {self.default!r} is not among the classes", "Add it to classes="
            )
        if self.max_classes < 2:
            raise UsageError("max_classes is below 2", "A classifier needs two classes at least")

    @property
    def horizon_ms(self) -> int:
        return parse_duration(self.horizon)


def check_labels(task: str, labels: Labels) -> None:
    """Refuse classes and a default that would be refused as labels: they reach the models unchecked."""
    default = labels.default
    if labels.hold_back and task != "binary":
        raise UsageError("hold_back judges two classes", "Leave it out, or use task binary")
    if task == "regression":
        if labels.classes is not None:
            raise UsageError("a regression task with classes", "Leave classes= out")
        if default is not None and (type(default) not in NUMBERS or not abs(default) <= LARGEST_TARGET):
            raise UsageError(
                f"default target {default!r}", f"Give a finite number within ±{LARGEST_TARGET:.0e}"
            )
        return
    for label in (*(labels.classes or ()), *(() if default is None else (default,))):
        if type(label) not in CLASSES:
            raise UsageError(
                f"class {label!r} is a {type(label).__name__}", "Use a boolean, a string or an integer"
            )


def two_classes(labels: Labels) -> Labels:
    """Binary labels: a set of two, whatever they are called.

    Raises:
        UsageError: another number of classes is declared.
    """
    if labels.classes is not None and len(labels.classes) != 2:
        text = "Declare two, or use task multiclass"
        raise UsageError(f"a binary task with {len(labels.classes)} classes", text)
    return replace(labels, max_classes=2)


def for_threshold(labels: Labels, threshold: float | None, positive: Any) -> Labels:
    """Labels under a threshold, which must know its class: booleans where no classes are declared.

    Raises:
        UsageError: the positive class is not among them.
    """
    if threshold is None:
        if positive is not None:
            raise UsageError(f"positive={positive!r} without threshold=", "Leave positive= out")
        return labels
    if labels.classes is None:
        labels = replace(labels, classes=(False, True))
    wanted = True if positive is None else positive
    classes = list(labels.classes or ())
    if not any(wanted == label and type(wanted) is type(label) for label in classes):
        raise UsageError(
            f"threshold={threshold} needs to know the positive class of {classes!r}",
            f"Give positive={classes[-1]!r}, or the other one, if the threshold is about that",
        )
    return labels
