"""mlflow: one version of a model as a logged model, its card as parameters, metrics and tags."""

from __future__ import annotations

import os
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from types import ModuleType

CODE = Path(__file__).with_name("mlflow_code.py")
NAMED = ("application", "shard", "slot", "version", "parent", "kind", "task", "threshold", "as_of")
TAGGED = ("status", "why", "python", "platform")
LONGEST = 500  # characters of a parameter; the whole card is an artifact beside it


class Logged(NamedTuple):
    """What was logged; `number` is the registered model's version there."""

    run_id: str
    model_uri: str
    name: str
    number: str
    aliased: bool


def log_version(
    file: Path, card: dict[str, Any], uri: str | None, experiment: str, name: str, alias: str
) -> Logged:
    """Log a model file as a new version of the registered model `name`; one that serves gets the alias.

    Raises:
        UsageError: MLflow is not installed.
        Unreachable: it does not answer, or refuses.
    """
    mlflow = client_library()
    from mlflow.exceptions import MlflowException

    try:
        if uri is not None:
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
        mlflow.set_experiment(experiment)
        with mlflow.start_run(run_name=f"{card['slot']} v{card['version']}") as run:
            mlflow.log_params(parameters(card))
            mlflow.log_metrics(metrics(card))
            mlflow.set_tags({name: str(card[name]) for name in TAGGED})
            mlflow.log_dict(card, "card.json")
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(CODE),
                artifacts={"model": str(file)},
                model_config={"modules": list(card["modules"])},
                pip_requirements=requirements(card),
                registered_model_name=name,
            )
        number, serves = str(logged.registered_model_version), card["status"] == "serving"
        if serves:
            mlflow.MlflowClient().set_registered_model_alias(name, alias, number)
    except (MlflowException, OSError) as error:
        raise Unreachable(
            f"MLflow does not take the model: {error}",
            "Correct --uri or MLFLOW_TRACKING_URI: a server, or sqlite:///FILE",
        ) from error
    return Logged(run.info.run_id, logged.model_uri, name, number, serves)


def client_library() -> ModuleType:
    """MLflow, which is an extra; it reports no usage to anybody from here, unless that is asked for.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow
        import mlflow.pyfunc
    except ImportError as error:
        raise UsageError(
            f"MLflow is not installed ({error})", "Run `pip install 'stream-app[mlflow]'`"
        ) from error
    found: ModuleType = mlflow
    return found


def parameters(card: dict[str, Any]) -> dict[str, str]:
    """What the version is, and what it was trained through.

    >>> parameters({"version": 7, "data": {"from": None, "to": {"batch": "0:9", "log_time_ms": 5}}})
    {'version': '7', 'to_batch': '0:9', 'to_log_time_ms': '5'}
    """
    found = {name: card[name] for name in NAMED if card.get(name) is not None}
    for side in ("from", "to"):
        place = card["data"][side] or {}
        for name, value in place.items():
            if isinstance(value, dict):
                found |= {f"{side}_{part}": position for part, position in value.items()}
            elif value is not None:
                found[f"{side}_{name}"] = value
    if "definition" in card:
        found["definition"] = card["definition"]["digest"]
    return {name: str(value)[:LONGEST] for name, value in found.items()}


def metrics(card: dict[str, Any]) -> dict[str, float]:
    """How much it had learned, and the scores of what it served.

    >>> metrics({"learned": 3, "scores": {"rolling": {"n": 2, "kappa": float("nan")}}})
    {'learned': 3.0, 'rolling_n': 2.0}
    """
    found = {"learned": float(card["learned"])}
    for span, scores in card["scores"].items():
        found |= {f"{span}_{name}": float(value) for name, value in scores.items()}
    return {name: value for name, value in found.items() if isfinite(value)}


def requirements(card: dict[str, Any]) -> list[str]:
    """What a process needs that loads it: the libraries that the model was made with."""
    names = ("river", "numpy", "stream-app")
    return [f"{name}=={card['libraries'][name]}" for name in names if name in card["libraries"]]
