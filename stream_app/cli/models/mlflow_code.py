"""What MLflow runs when it loads a logged version: a copy of this file lies beside the model.

The model's file is read by `stream_app.model_file`, after its signature: the public key must be set where it
is loaded, as STREAM_APP_SIGNING__PUBLIC_KEYS.
"""

from __future__ import annotations

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from stream_app.model_file import load, question_of
from stream_app.models.calls import COLD, bind, reply


class Version(PythonModel):  # type: ignore[misc]  # mlflow is an extra
    """One version of a model; `predict` answers each row as the learner would."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model's file."""
        modules = (context.model_config or {}).get("modules", ())
        self.model, self.card = load(context.artifacts["model"], modules=modules)

    # Without types: MLflow would make a schema of them, which neither a table nor a dictionary would fit.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002
        """`prediction` and `probabilities` of each row of a table, or of each dictionary; None where it has
        no answer.
        """
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else list(model_input)
        calls = (
            bind(self.model, question_of(self.card)) if self.card["learned"] or self.card["knows"] else None
        )
        answers = [COLD if calls is None else reply(calls, known(row)) for row in rows]
        return [{"prediction": answer[0], "probabilities": answer[1]} for answer in answers]


def known(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what a table has no value for."""
    return {name: value for name, value in row.items() if value is not None and value == value}  # noqa: PLR0124


set_model(Version())
