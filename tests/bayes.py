"""Gaussian naive Bayes for tests that ask it often."""

from __future__ import annotations

from math import exp
from typing import Any

from river import naive_bayes


class Bayes(naive_bayes.GaussianNB):
    """River's without scipy, in which that one spends nine parts in ten of an answer."""

    def __init__(self) -> None:
        naive_bayes.GaussianNB.__init__(self)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Each class's share of the likelihoods."""
        logs: dict[Any, float] = self.joint_log_likelihood(x)  # type: ignore[no-untyped-call]
        most = max(logs.values(), default=0.0)
        likelihoods = {label: exp(log - most) for label, log in logs.items()}
        total = sum(likelihoods.values())
        return {label: likelihood / total for label, likelihood in likelihoods.items()}


def bayes(_seed: int) -> Any:
    """A fresh one: good on a concept, and slow to leave an old one."""
    return Bayes()
