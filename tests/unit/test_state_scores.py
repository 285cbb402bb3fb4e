"""Scores from shared accumulators against River's own metrics."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river import metrics

from stream_app.state.scores import AUC_LABELS, BLOCK, ROLLING_BLOCKS, Scores, roc_auc

NEAR = 1e-12


def pairs(classes: list[Any], n: int, seed: int) -> list[tuple[Any, Any, dict[Any, float]]]:
    """Random (label, prediction, probabilities), right more often than not."""
    dice = random.Random(seed)
    made = []
    for _ in range(n):
        label = dice.choice(classes)
        weights = [dice.random() + (c == label) for c in classes]
        probabilities = {c: w / sum(weights) for c, w in zip(classes, weights, strict=True)}
        made.append((label, max(probabilities, key=probabilities.__getitem__), probabilities))
    return made


@pytest.mark.parametrize(
    ("classes", "f1"),
    [
        ([True, False], metrics.F1()),
        (["a", "b", "c"], metrics.MacroF1()),
        ([1, 2, 3, 4, 5, 6, 7], metrics.MacroF1()),
        (["a"], metrics.MacroF1()),
        ([False], metrics.F1()),
    ],
    ids=str,
)
@pytest.mark.parametrize("n", [1, 7, 99, 100, 101, 2_345])
def test_classification_scores_equal_rivers(classes: list[Any], f1: Any, n: int) -> None:
    """Accuracy, kappa, F1 and log loss are River's, whatever the number of blocks."""
    scores = Scores(classify=True)
    judges = {
        "accuracy": metrics.Accuracy(),
        "kappa": metrics.CohenKappa(),
        "f1": f1.clone(),
    }
    for label, prediction, probabilities in pairs(classes, n, seed=n):
        loss = scores.update(label, prediction, probabilities)
        assert loss == (label != prediction)
        for judge in judges.values():
            judge.update(label, prediction)
    cumulative = scores.report()["cumulative"]
    assert cumulative["n"] == n
    for name, judge in judges.items():
        assert cumulative[name] == pytest.approx(judge.get(), abs=NEAR), name


@pytest.mark.parametrize("classes", [[True, False], ["a", "b", "c"]], ids=str)
def test_log_loss_equals_rivers(classes: list[Any]) -> None:
    """Log loss, binary and multiclass, is River's, which clips at the same smallest probability."""
    scores = Scores(classify=True)
    judge: Any = metrics.LogLoss() if len(classes) == 2 else metrics.CrossEntropy()
    for label, prediction, probabilities in pairs(classes, 500, seed=3):
        scores.update(label, prediction, probabilities)
        judge.update(label, probabilities)
    assert scores.report()["cumulative"]["log_loss"] == pytest.approx(judge.get(), abs=1e-9)


@pytest.mark.parametrize("n", [2, 99, 100, 1_234])
def test_regression_scores_equal_rivers(n: int) -> None:
    """MAE, RMSE and R2 are River's."""
    dice = random.Random(n)
    scores = Scores(classify=False)
    judges: dict[str, Any] = {"mae": metrics.MAE(), "rmse": metrics.RMSE(), "r2": metrics.R2()}
    for _ in range(n):
        label = dice.gauss(3, 2)
        prediction = label + dice.gauss(0, 1)
        assert scores.update(label, prediction, None) == abs(label - prediction)
        for judge in judges.values():
            judge.update(label, prediction)
    cumulative = scores.report()["cumulative"]
    for name, judge in judges.items():
        assert cumulative[name] == pytest.approx(judge.get(), abs=1e-9), name


@pytest.mark.parametrize("n", [50, 1_000, 1_001, 1_099, 1_100, 3_456])
def test_the_rolling_scores_are_those_of_the_newest_blocks(n: int) -> None:
    """The rolling part covers the ten newest full blocks and the open one, and nothing older."""
    made = pairs([True, False], n, seed=n)
    scores = Scores(classify=True)
    for label, prediction, probabilities in made:
        scores.update(label, prediction, probabilities)
    covered = n % BLOCK + BLOCK * min(ROLLING_BLOCKS, n // BLOCK)
    judge = metrics.Accuracy()
    for label, prediction, _ in made[n - covered :]:
        judge.update(label, prediction)
    rolling = scores.report()["rolling"]
    assert rolling["n"] == covered
    assert rolling["accuracy"] == pytest.approx(judge.get(), abs=NEAR)


@pytest.mark.parametrize("ties", [False, True])
def test_roc_auc_is_the_share_of_pairs_in_the_right_order(ties: bool) -> None:
    """The area equals the count over all pairs, ties halved; only the newest labels count."""
    dice = random.Random(5)
    scores = Scores(classify=True)
    for _ in range(AUC_LABELS + 100):
        label = dice.random() < 0.3
        score = dice.random() + 0.3 * label
        scores.update(label, score > 0.5, {True: round(score, 1) if ties else score})
    sample = list(scores.sample)
    assert len(sample) == AUC_LABELS
    positives = [score for label, score in sample if label]
    negatives = [score for label, score in sample if not label]
    won = sum((p > q) + (p == q) / 2 for p in positives for q in negatives)
    assert roc_auc(scores.sample) == pytest.approx(won / len(positives) / len(negatives), abs=NEAR)
    scores.update(True, True, None)
    assert scores.report()["rolling"]["roc_auc"] == roc_auc(scores.sample)


def test_nothing_to_score_says_so() -> None:
    """Without a label there is a count of zero and no number that could be mistaken for a score."""
    assert Scores(classify=True).report() == {"cumulative": {"n": 0}, "rolling": {"n": 0}}
    assert Scores(classify=False).report() == {"cumulative": {"n": 0}, "rolling": {"n": 0}}
