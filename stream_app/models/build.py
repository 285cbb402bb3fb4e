"""Making a model from the definition's factory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_app.errors import MACHINE, UsageError
from stream_app.models.digest import structural_digest
from stream_app.models.fit import elsewhere

Factory = Callable[[int], Any]


def build(factory: Factory, seed: int) -> Any:
    """A fresh model.

    Raises:
        UsageError: the factory raised, or made something that cannot learn and predict: correct it.
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
            *elsewhere(model)
            or (
                f"the model factory gave a {type(model).__name__}, which is not a River model",
                "Return an object with learn_one and predict_one (or score_one)",
            )
        )
    return model


def has_learned(model: Any) -> bool:
    """Whether a factory's model brings along what it learned elsewhere: its clone would be another one.

    A model that River cannot clone is taken for fresh.
    """
    try:
        return structural_digest(model) != structural_digest(model.clone())
    except Exception:  # noqa: BLE001  # a class of the user's may raise anything
        return False
