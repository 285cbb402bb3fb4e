"""What an explanation costs beside a prediction, by kind of model, in turns in one process.

    benchmarks/explain [--json]

Rows of River's Phishing data (nine features), learned before. Exit 1 if an explanation of a linear model
costs more than 2.5 predictions.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from river import datasets, ensemble, forest, linear_model, naive_bayes, preprocessing, tree

from stream_app.models.calls import bind
from stream_app.models.explanations.explain import explain, explain_blend
from stream_app.models.question import Question

QUESTION = Question("binary")
ALLOWED = 2.5
ROUNDS = 30
MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "softmax": lambda: preprocessing.StandardScaler() | linear_model.SoftmaxRegression(),
    "tree of counts": lambda: tree.HoeffdingTreeClassifier(50, leaf_prediction="mc"),
    "tree of naive leaves": lambda: tree.HoeffdingTreeClassifier(50),
    "naive Bayes": lambda: preprocessing.StandardScaler() | naive_bayes.GaussianNB(),
    "bagging": lambda: (
        preprocessing.StandardScaler() | ensemble.BaggingClassifier(linear_model.LogisticRegression(), seed=1)
    ),
    "forest of ten": lambda: forest.ARFClassifier(seed=1),
}
BLENDED = ("linear", "tree of counts", "naive Bayes")


def main() -> int:
    """Measure every kind."""
    parser = argparse.ArgumentParser(prog="benchmarks/explain", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per kind on stdout")
    options = parser.parse_args()
    data = list(datasets.Phishing())
    models = {name: build() for name, build in MODELS.items()}
    for model in models.values():
        for row, label in data:
            model.learn_one(row, label)
    rows = [row for row, _ in data[::25]]
    good = True
    for name, model in models.items():
        predict = bind(model, QUESTION).predict
        took = measured(rows, predict, partial(why, model))
        good = show(name, *took, json=options.json) and good
    members = [models[name] for name in BLENDED]
    asked = [bind(model, QUESTION).predict for model in members]
    weights = [1.0 / len(members)] * len(members)
    took = measured(
        rows,
        lambda row: [one(row) for one in asked],
        lambda row, answer: explain_blend(members, weights, row, QUESTION, answer),
    )
    show("blend of three", *took, json=options.json)
    return 0 if good else 1


def why(model: Any, row: dict[str, Any], answer: Any) -> Any:
    """Explain one answer."""
    return explain(model, row, QUESTION, answer)


def measured(
    rows: list[dict[str, Any]], predict: Callable[[Any], Any], explained: Callable[[Any, Any], Any]
) -> tuple[float, float]:
    """Microseconds of a prediction and of an explanation, the medians of rounds in turns."""
    answers = [predict(row) for row in rows]
    predictions, explanations = [], []
    gc.collect()
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        for row in rows:
            predict(row)
        middle_s = time.perf_counter()
        for row, answer in zip(rows, answers, strict=True):
            explained(row, answer)
        predictions.append(middle_s - start_s)
        explanations.append(time.perf_counter() - middle_s)
    half, each = ROUNDS // 2, 1e6 / len(rows)
    return sorted(predictions)[half] * each, sorted(explanations)[half] * each


def show(name: str, predict_us: float, explain_us: float, *, json: bool) -> bool:
    """Print one kind; whether it keeps its bound, which only linear models have."""
    ratio = explain_us / predict_us
    if json:
        found = {"model": name, "predict_us": predict_us, "explain_us": explain_us, "ratio": ratio}
        sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
        sys.stdout.flush()
    else:
        bound = f", at most {ALLOWED} asked" if name == "linear" else ""
        print(
            f"{name:20} prediction {predict_us:8.1f} µs · explanation {explain_us:8.1f} ({ratio:.2f}{bound})",
            flush=True,
        )
    return name != "linear" or ratio <= ALLOWED


if __name__ == "__main__":
    raise SystemExit(main())
