"""Admission: exercise a definition on small data and refuse, with reason and fix, what could not be replayed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from math import sin
from typing import Any

import msgspec
import numpy as np
from river import anomaly, base, compose, neighbors

from stream_app.models.build import build
from stream_app.models.calls import ModelFault, bind
from stream_app.models.digest import structural_digest

ROWS = 240
SMALL = 24  # rows after which costly checks (digests, pickles) are made
SEED = 42


class Refusal(msgspec.Struct):
    """Why a slot is not admitted, and what to change."""

    slot: str
    reason: str
    fix: str


class Admission(msgspec.Struct):
    """`digest` covers every answer and every model's end state: equal in every process, or there is a refusal."""

    digest: str
    refusals: list[Refusal]


def exercise(
    factories: dict[str, Callable[[int], Any]], task: str, threshold: float | None, weighted: bool
) -> Admission:
    """Run every slot's factory twice in this process on number and string data of the task."""
    refusals: list[Refusal] = []
    traces: list[str] = []
    for slot, factory in factories.items():
        try:
            first, second = build(factory, SEED), build(factory, SEED)
        except Exception as error:
            refusals.append(Refusal(slot, str(error), getattr(error, "remedy", "") or "mend the factory"))
            continue
        found = [*static(slot, first, second, task)]
        if not found:
            try:
                trace, again = run(first, task, threshold, weighted), run(second, task, threshold, weighted)
                if trace != again:
                    found.append(
                        Refusal(
                            slot,
                            "two models of one seed answer differently",
                            "pass the factory's seed on to every part",
                        )
                    )
                traces.append(trace)
                found += behaviour(slot, first, task, threshold)
            except ModelFault as fault:
                fix = (
                    "give class weights only to models that take w="
                    if weighted
                    else "put an encoder before the model"
                )
                found.append(Refusal(slot, f"the model raised on sample data ({fault})", fix))
        refusals += found
    return Admission(structural_digest(traces), refusals)


def static(slot: str, model: Any, twin: Any, task: str) -> Iterator[Refusal]:
    """What can be said before anything runs."""
    if model is twin:
        yield Refusal(slot, "the factory gives the same object twice", "build the model inside the lambda")
    wanted: Any = {
        "binary": base.Classifier, "multiclass": base.MultiLabelClassifier | base.Classifier,
        "regression": base.Regressor, "anomaly": anomaly.base.AnomalyDetector,
    }[task]  # fmt: skip
    answering = model
    while isinstance(answering, compose.Pipeline):
        answering = list(answering.steps.values())[-1]
    if not isinstance(answering, wanted):
        yield Refusal(
            slot, f"{type(answering).__name__} does not fit task {task}", f"choose a model for {task}"
        )
    for part in parts(model):
        if isinstance(part, neighbors.SWINN) or (
            hasattr(part, "engine") and isinstance(part.engine, neighbors.SWINN) and part.engine.seed is None
        ):
            if part.seed is None if hasattr(part, "seed") else True:
                yield Refusal(
                    slot, "the default engine of nearest neighbours draws its own random numbers",
                    "pass engine=neighbors.LazySearch(window_size=...)",
                )  # fmt: skip
                return
        if "seed" in vars_of(part) and vars_of(part)["seed"] is None:
            yield Refusal(
                slot, f"{type(part).__name__} is random and has no seed", "pass seed=seed from the factory"
            )
            return


def vars_of(part: Any) -> dict[str, Any]:
    return getattr(part, "__dict__", {})


def parts(model: Any, depth: int = 0) -> Iterator[Any]:
    """A model and the estimators inside it."""
    yield model
    if depth > 6:
        return
    for value in vars_of(model).values():
        inner = (
            value.values()
            if isinstance(value, dict)
            else value
            if isinstance(value, (list, tuple))
            else (value,)
        )
        for item in inner:
            if (
                isinstance(item, base.Base)
                or hasattr(item, "learn_one")
                or isinstance(item, neighbors.base.BaseNN)
            ):
                yield from parts(item, depth + 1)


def behaviour(slot: str, model: Any, task: str, threshold: float | None) -> Iterator[Refusal]:
    """After some learning: prediction must not change the model, and the model must survive a pickle."""
    row, _ = next(sample(task, SMALL, strings=False))
    calls = bind(model, task, threshold)
    before = structural_digest(model)
    calls.predict(row)
    if structural_digest(model) != before:
        yield Refusal(
            slot,
            "predicting changes the model",
            "do not use learn_during_predict, nor models that learn to predict",
        )
    try:
        twin = pickle.loads(pickle.dumps(model))
    except Exception as error:
        yield Refusal(
            slot,
            f"the model cannot be pickled ({error})",
            "use named functions instead of lambdas inside models",
        )
        return
    if bind(twin, task, threshold).predict(row) != calls.predict(row):
        yield Refusal(
            slot,
            "the model answers differently after a pickle",
            "report it to the model's authors; use another",
        )


def run(model: Any, task: str, threshold: float | None, weighted: bool) -> str:
    """The digest of every answer on the sample, and of the model at its end."""
    calls = bind(model, task, threshold)
    answers: list[Any] = []
    for row, label in sample(task, ROWS, strings=False):
        answers.append(calls.predict(row))
        calls.learn(row, label, 2.0 if weighted else 1.0)
    return structural_digest([answers, model])


def sample(task: str, n: int, *, strings: bool) -> Iterator[tuple[dict[str, Any], Any]]:
    """Deterministic rows without dice: incommensurable sines, a drift in the middle."""
    for i in range(n):
        a, b, c = sin(i * 1.7), sin(i * 0.37 + 1), float(i % 7)
        row: dict[str, Any] = {"a": a, "b": b, "c": c, "d": i % 3}
        if strings:
            row["s"] = ("red", "green", "blue")[i % 3]
        score = a + 0.5 * b - 0.1 * c if i < n // 2 else b - a
        label: Any = score > 0
        if task == "multiclass":
            label = ("low", "middle", "high")[int(np.digitize(score, [-0.4, 0.4]))]
        elif task == "regression":
            label = 3 * score
        yield row, label
