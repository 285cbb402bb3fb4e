"""Making a model from the definition's factory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_app.errors import MACHINE, UsageError

Factory = Callable[[int], Any]


def build(factory: Factory, seed: int) -> Any:
    """A fresh model.

    Raises:
        UsageError: the factory raised, or gave something that cannot learn and predict; mend the definition.
    """
    try:
        model = factory(seed)
    except MACHINE:
        raise
    except Exception as error:
        raise UsageError(
            f"the model factory raised {type(error).__name__}: {error}",
            "A factory takes one argument, the seed: `lambda seed: linear_model.LogisticRegression()`",
        ) from error
    if not hasattr(model, "learn_one") or not (hasattr(model, "predict_one") or hasattr(model, "score_one")):
        raise UsageError(
            f"the model factory gave a {type(model).__name__}, which is no River model",
            "Return an object with learn_one and predict_one (or score_one)",
        )
    return model
