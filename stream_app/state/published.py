"""What a learner publishes of its champion, and all that a predictor needs to answer as it would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stream_app.models.calls import Answer, Calls, bind, bind_blend
from stream_app.models.explanations.explain import explain, explain_blend
from stream_app.models.explanations.explanation import Explanation
from stream_app.models.question import Question

FORMAT = 1
KIND = "champion"  # in the signed header, which distinguishes a publication from a snapshot


@dataclass
class Published:
    """One shard's champion, or its blend, as committed batch (epoch, seq) left it.

    A blend's `model` is the list of its models, with their `weights`; None stands for one that is not asked.
    `carriers` are the weights of the others by name, as predictions have them, and `left_out` those that were
    too large to be published. `usual` holds means of numeric features, for explanations.

    `prior` is what a cold model is answered with, `kinds` the features' types, of which those of `unproven`
    give way to another one, `full` the string features that take no further value, which with `no_more` are
    all of them. `rows` are sample rows; the header says what the model answers to them. A `cold` model has
    learned nothing and is not asked.
    """

    model: Any
    name: str
    version: int
    learned: int
    cold: bool
    log_time_ms: int
    prior: Any
    kinds: dict[str, str]
    full: dict[str, dict[str, bool]]
    rows: list[dict[str, Any]]
    no_more: bool = False
    unproven: tuple[str, ...] = ()
    weights: list[float] | None = None
    carriers: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    usual: dict[str, float] = field(default_factory=dict)

    @property
    def models(self) -> list[Any]:
        """All models of it."""
        members = [self.model] if self.weights is None else self.model
        return [model for model in members if model is not None]


def explain_published(
    published: Published, row: dict[str, Any], question: Question, answer: Answer
) -> Explanation | None:
    """Explain an answer that it just gave; None where it is cold. What is asked is `published` itself."""
    if published.weights is None:
        return explain(published.model, row, question, answer)
    return explain_blend(published.model, published.weights, row, question, answer)


def bind_published(published: Published, question: Question) -> Calls:
    """Bind what predicts as the learner does."""
    if published.weights is None:
        return bind(published.model, question)
    return bind_blend(published.model, published.weights, question)
