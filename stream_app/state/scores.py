"""Prequential scores of one slot from shared accumulators, cumulative and rolling.

Accuracy, kappa and F1 read one confusion count and log loss one sum: 2 µs a label where separate metric
objects took 24. The rolling view is the last `ROLLING_BLOCKS` full blocks of `BLOCK` labels and the open one,
so nothing is ever subtracted and no rounding builds up. ROC AUC is exact over the newest `AUC_LABELS`
labels (Hanley and McNeil 1982).
"""

from __future__ import annotations

from collections import deque
from math import log, sqrt
from typing import Any, Final

from mypy_extensions import mypyc_attr

BLOCK: Final = 100
ROLLING_BLOCKS: Final = 10
AUC_LABELS: Final = 512
SMALLEST_PROBABILITY: Final = 1e-15


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class ClassBlock:
    """Counts of one block of labels: confusion[(label, prediction)] and the sum of log losses."""

    def __init__(self) -> None:
        self.n = 0
        self.confusion: dict[Any, int] = {}  # pairs as objects: compiled, a typed one would be made again
        self.log_loss = 0.0
        self.n_log_loss = 0

    def add(self, other: ClassBlock) -> None:
        self.n += other.n
        self.log_loss += other.log_loss
        self.n_log_loss += other.n_log_loss
        confusion = self.confusion
        for pair, count in other.confusion.items():
            confusion[pair] = confusion.get(pair, 0) + count

    def update(self, label: Any, prediction: Any, probabilities: dict[Any, float] | None) -> float:
        """Add one pair and give its 0/1 loss."""
        self.n += 1
        pair: Any = (label, prediction)
        self.confusion[pair] = self.confusion.get(pair, 0) + 1
        if probabilities is not None:
            p = probabilities.get(label, 0.0)
            self.log_loss -= log(p if p > SMALLEST_PROBABILITY else SMALLEST_PROBABILITY)
            self.n_log_loss += 1
        return 0.0 if label == prediction else 1.0

    def report(self) -> dict[str, float]:
        """accuracy, kappa, f1 (of True for two boolean classes, else the macro average), log_loss."""
        if not self.n:
            return {"n": 0}
        labels: dict[Any, int] = {}
        predicted: dict[Any, int] = {}
        right: dict[Any, int] = {}
        for (label, prediction), count in self.confusion.items():
            labels[label] = labels.get(label, 0) + count
            predicted[prediction] = predicted.get(prediction, 0) + count
            if label == prediction:
                right[label] = right.get(label, 0) + count
        n = self.n
        accuracy = sum(right.values()) / n
        chance = sum(count * predicted.get(label, 0) for label, count in labels.items()) / (n * n)
        classes = sorted({*labels, *predicted}, key=repr)
        boolean = all(isinstance(c, bool) for c in classes)
        judged = [True] if boolean else classes
        f1 = [2 * right.get(c, 0) / (labels.get(c, 0) + predicted.get(c, 0) or 1) for c in judged]
        report = {
            "n": n,
            "accuracy": accuracy,
            "kappa": (accuracy - chance) / (1 - chance) if chance < 1 else 0.0,
            "f1": sum(f1) / len(f1),
        }
        if self.n_log_loss:
            report["log_loss"] = self.log_loss / self.n_log_loss
        return report


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class ValueBlock:
    """Sums of one block of numeric targets: absolute and squared errors, targets and their squares."""

    def __init__(self) -> None:
        self.n = 0
        self.absolute = self.squared = self.target = self.target_squared = 0.0

    def add(self, other: ValueBlock) -> None:
        self.n += other.n
        self.absolute += other.absolute
        self.squared += other.squared
        self.target += other.target
        self.target_squared += other.target_squared

    def update(self, label: float, prediction: float, _probabilities: dict[Any, float] | None) -> float:
        """Add one pair and give its absolute error."""
        error = abs(label - prediction)
        self.n += 1
        self.absolute += error
        self.squared += error * error
        self.target += label
        self.target_squared += label * label
        return error

    def report(self) -> dict[str, float]:
        """mae, rmse, r2."""
        n = self.n
        if not n:
            return {"n": 0}
        spread = self.target_squared - self.target * self.target / n
        return {
            "n": n,
            "mae": self.absolute / n,
            "rmse": sqrt(self.squared / n),
            "r2": 1 - self.squared / spread if spread > 0 else 0.0,
        }


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Scores:
    """Cumulative and rolling scores over one kind of block."""

    def __init__(self, classify: bool) -> None:
        self.block: ClassBlock | ValueBlock = ClassBlock() if classify else ValueBlock()
        self.total: Any = type(self.block)()
        self.recent: deque[Any] = deque(maxlen=ROLLING_BLOCKS)
        self.sample: deque[tuple[bool, float]] = deque(maxlen=AUC_LABELS)

    def update(self, label: Any, prediction: Any, probabilities: dict[Any, float] | None) -> float:
        """Score one served prediction; gives its loss (0/1 or absolute error)."""
        if probabilities is not None and type(label) is bool:
            self.sample.append((label, probabilities.get(True, 0.0)))
        block = self.block
        loss = block.update(label, prediction, probabilities)
        if block.n >= BLOCK:
            self.total.add(block)
            self.recent.append(block)
            self.block = type(block)()
        return loss

    def report(self) -> dict[str, dict[str, float]]:
        """{"cumulative": {...}, "rolling": {...}}; the rolling part covers the last 1,000 to 1,100 labels."""
        cumulative: Any = type(self.block)()
        rolling: Any = type(self.block)()
        for block in (self.total, self.block):
            cumulative.add(block)
        for block in (*self.recent, self.block):
            rolling.add(block)
        report = {"cumulative": cumulative.report(), "rolling": rolling.report()}
        auc = roc_auc(self.sample)
        if auc is not None:
            report["rolling"]["roc_auc"] = auc
        return report


def roc_auc(pairs: deque[tuple[bool, float]]) -> float | None:
    """Area under the ROC curve of (is positive, score) pairs, ties counted half; None without both classes.

    >>> roc_auc(deque([(True, 0.9), (False, 0.1), (True, 0.5), (False, 0.5)]))
    0.875
    """
    ranked = sorted(pairs, key=lambda pair: pair[1])
    positives = sum(is_positive for is_positive, _ in ranked)
    negatives = len(ranked) - positives
    if not positives or not negatives:
        return None
    rank_sum, i = 0.0, 0
    while i < len(ranked):
        j = i
        while j < len(ranked) and ranked[j][1] == ranked[i][1]:
            j += 1
        rank_sum += (i + j + 1) / 2 * sum(is_positive for is_positive, _ in ranked[i:j])
        i = j
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
