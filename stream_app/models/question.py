"""What a definition asks of its models."""

from __future__ import annotations

from typing import Any, NamedTuple


class Question(NamedTuple):
    """The task (binary, multiclass, regression, anomaly), and for a threshold the class that is answered
    above it and the one that is answered otherwise.
    """

    task: str
    threshold: float | None = None
    positive: Any = True
    negative: Any = False
