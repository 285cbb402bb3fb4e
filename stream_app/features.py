"""The statistics of an entity that a definition may name; each is a feature `<stat>_<field>_<window>`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream_app.durations import parse_duration
from stream_app.errors import UsageError

NEEDS_FIELD = {"sum", "mean", "min", "max", "last", "distinct"}
ALWAYS = {"count": 0, "sum": 0.0, "distinct": 0}  # known of every entity, even one never seen


@dataclass(frozen=True)
class Feature:
    """One statistic; `window_ms` 0 means all time. Absent from the row until known, unless `default` is
    given.
    """

    stat: str
    field: str
    window: str
    default: Any = None
    max_values: int = 256

    def __post_init__(self) -> None:
        if self.stat in NEEDS_FIELD and not self.field:
            raise UsageError(
                f"{self.stat} needs the name of a field", f'For example {self.stat}("amount", window="1h")'
            )
        if self.window:
            parse_duration(self.window)

    @property
    def window_ms(self) -> int:
        return parse_duration(self.window) if self.window else 0

    @property
    def name(self) -> str:
        return "_".join(part for part in (self.stat, self.field, self.window) if part)


def count(window: str) -> Feature:
    """Events of the entity within the window."""
    return Feature("count", "", window)


def sum(field: str, window: str) -> Feature:
    """Sum of a numeric field within the window."""
    return Feature("sum", field, window)


def mean(field: str, window: str, default: float | None = None) -> Feature:
    """Mean of a numeric field within the window."""
    return Feature("mean", field, window, default)


def min(field: str, window: str, default: float | None = None) -> Feature:
    """Smallest value of a numeric field within the window."""
    return Feature("min", field, window, default)


def max(field: str, window: str, default: float | None = None) -> Feature:
    """Largest value of a numeric field within the window."""
    return Feature("max", field, window, default)


def last(field: str, default: Any = None) -> Feature:
    """The field's newest value."""
    return Feature("last", field, "", default)


def distinct(field: str, window: str, max_values: int = 256) -> Feature:
    """Different values of a field within the window; beyond `max_values` the oldest go, so the count
    saturates.
    """
    return Feature("distinct", field, window, max_values=max_values)


def since_last() -> Feature:
    """Seconds since the entity's previous event."""
    return Feature("since_last", "", "")
