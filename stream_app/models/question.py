"""What a definition asks of its models, and what an answer is."""

from __future__ import annotations

from typing import Any, NamedTuple

Answer = tuple[Any, dict[Any, float] | None]  # prediction and probabilities, which some models do not give
COLD: Answer = (None, None)


class Question(NamedTuple):
    """The task (binary, multiclass, regression, anomaly), and for a threshold the class that is answered
    above it and the one that is answered otherwise.
    """

    task: str
    threshold: float | None = None
    positive: Any = True
    negative: Any = False
