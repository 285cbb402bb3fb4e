"""Which detectors watch which signals: where a definition names none, and which ones fit a task."""

from __future__ import annotations

from collections.abc import Sequence

from drift.detectors import Detect
from drift.losses import LOSSES
from stream_app.errors import UsageError

UNLABELLED = ("features", "missing_rate", "prediction")  # signals of events alone


def watched(task: str) -> tuple[Detect, ...]:
    """The detectors of a definition that names none: what costs little and seldom cries wolf."""
    inputs = (
        Detect("adwin", "features", delta=1e-5),
        Detect("psi", "features"),
        Detect("adwin", "missing_rate", delta=1e-5),
    )
    if task == "anomaly":
        return (*inputs, Detect("adwin", "prediction", delta=1e-5))
    both = (*inputs, Detect("adwin", "label_delay", delta=1e-5))
    if task == "regression":
        return (Detect("adwin"), *both, Detect("adwin", "prediction", delta=1e-5))
    return (Detect("adwin"), Detect("ddm"), *both, Detect("psi", "prediction"), Detect("psi", "labels"))


def check_drift(task: str, detects: Sequence[Detect], loss: str | None) -> None:
    """Refuse detectors and a loss that do not fit the task."""
    if loss not in LOSSES or (loss == "absolute") != (task == "regression"):
        fit = "absolute" if task == "regression" else "zero_one, log or brier"
        raise UsageError(f"loss={loss!r} does not fit task {task}", f"Use {fit}")
    for detect in detects:
        if detect.binary and task not in ("binary", "multiclass"):
            raise UsageError(f"{detect.name} judges errors of classes", f"Use adwin for task {task}")
        if task == "anomaly" and detect.signal not in UNLABELLED:
            fix = f"Use {', '.join(UNLABELLED)}"
            raise UsageError(f"task anomaly has no signal {detect.signal!r}", fix)
    pairs = [(detect.name, detect.signal) for detect in detects]
    if len(set(pairs)) < len(pairs):
        raise UsageError(f"drift={pairs} repeats a detector of a signal", "Drop one of each pair")
