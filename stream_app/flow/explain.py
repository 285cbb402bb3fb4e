"""Stage: why a prediction is what it is, for definitions that ask for it in each."""

from __future__ import annotations

from math import isfinite
from typing import Any

from stream_app.errors import MACHINE
from stream_app.flow.core import Core
from stream_app.models.calls import Answer
from stream_app.models.explanations.explain import explain, explain_blend
from stream_app.models.explanations.report import in_numbers


def explained(core: Core, row: dict[str, Any], answer: Answer) -> dict[str, Any] | None:
    """Explain what the models just answered to a row; None where that is cold, or raises.

    Live models are asked again, about nothing but names that they were just asked about: what they remember
    of a question, they remember already.
    """
    state, blend = core.state, core.blend
    try:
        if blend is None:
            found = explain(state.champion.model, row, core.question, answer)
        else:
            models = list(state.blended_models().values())
            found = explain_blend(models, blend.weights, row, core.question, answer)
        return in_numbers(found, row, core.explain) if found is not None and isfinite(found.total) else None
    except MACHINE:
        raise
    except Exception:  # noqa: BLE001  # no event goes without its prediction for what is said beside it
        return None
