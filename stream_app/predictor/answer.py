"""One prediction, by the functions that the learner uses: same state, features and time, same bits."""

from __future__ import annotations

from typing import Any, NamedTuple

from stream_app.application import Application
from stream_app.flow.record_rules import FeatureRules, features_for_models
from stream_app.models.calls import Answer
from stream_app.models.explanations.report import report
from stream_app.predictor.champion import Champion
from stream_app.predictor.entities import Entity, Found
from stream_app.state.windows import Windows
from topics import reasons
from topics.codec import Rejected

PLAIN = (bool, int, float, str)
STALE_MODEL_MS = 30_000  # without word from a learner, where no contract says otherwise


class Asked(NamedTuple):
    """A row to predict. Ages in ms, None: any. `recorded`: it will be an event, with an event's rules.
    `explain`: so many features are named that moved the answer furthest, 0: none.
    """

    key: str
    features: dict[str, Any]
    time_ms: int
    max_model_age_ms: int | None = None
    max_feature_age_ms: int | None = None
    recorded: bool = False
    explain: int = 0


class Predicted(NamedTuple):
    """What is answered. `violated` are the bounds that it breaks, `stale` says why it is old."""

    prediction: Any
    probabilities: dict[Any, float] | None
    prior: Any
    model_age_ms: int
    feature_age_ms: int | None
    known: bool
    stale: tuple[str, ...]
    violated: tuple[str, ...]
    explanation: dict[str, Any] | None = None


def predict_row(
    app: Application,
    rules: FeatureRules,
    windows: Windows,
    champion: Champion,
    at_ms: int,
    found: Found,
    asked: Asked,
    now_ms: int,
) -> Predicted | Rejected:
    """Answer one row, or say why it cannot be; `at_ms` is when the champion was known to be the newest."""
    published = champion.published
    features = own_features(rules, windows, champion, asked)
    if isinstance(features, Rejected):
        return features
    entity = living(app, found.entity, asked.time_ms)
    row = features_of(windows, champion, entity, asked.time_ms) if app.features else {}
    row.update(features)
    prediction, probabilities = champion.predict(row)
    model_age_ms = max(0, now_ms - at_ms)
    feature_age_ms = max(0, now_ms - entity[0]) if entity is not None else None
    stale, violated = [], []
    if asked.max_model_age_ms is not None and model_age_ms > asked.max_model_age_ms:
        violated.append("model-age")
    oldest_ms = asked.max_feature_age_ms if app.features else None
    if oldest_ms is not None and (feature_age_ms is None or feature_age_ms > oldest_ms):
        violated.append("feature-age")
    if not violated and model_age_ms > (asked.max_model_age_ms or STALE_MODEL_MS):
        stale.append("model-age")
    if not found.current:
        stale.append("view-unreachable")
    prior = published.prior if prediction is None else None
    return Predicted(
        prediction,
        probabilities,
        prior,
        model_age_ms,
        feature_age_ms,
        entity is not None,
        (*violated, *stale),
        tuple(violated),
        explanation_of(champion, windows, row, (prediction, probabilities), asked.explain),
    )


def explanation_of(
    champion: Champion, windows: Windows, row: dict[str, Any], answer: Answer, most: int
) -> dict[str, Any] | None:
    """Why the answer is what it is, where that was asked and the model is not cold."""
    found = champion.explain(row, answer) if most else None
    return None if found is None else report(found, row, champion.published.usual, windows.names, most)


def own_features(rules: FeatureRules, windows: Windows, champion: Champion, asked: Asked) -> Any:
    """The features of a row as the model sees them, or why it cannot be predicted, a `Rejected`.

    A request may name an entity's feature, an event may not.
    """
    features, published, given = asked.features, champion.published, {}
    if not asked.recorded and not windows.names.isdisjoint(features):
        for name in windows.names.intersection(features):
            if type(features[name]) not in PLAIN:
                return Rejected(reasons.BAD_FEATURE, f"feature {name!r} is not a number, string or boolean")
        given = {name: value for name, value in features.items() if name in windows.names}
        features = {name: value for name, value in features.items() if name not in given}
    kinds, unproven, full = published.kinds, published.unproven, published.full
    found = features_for_models(rules, kinds, unproven, full, published.no_more, features)
    return found if isinstance(found, Rejected) or not given else {**found, **given}


def living(app: Application, entity: Entity | None, time_ms: int) -> Entity | None:
    """The entity, unless it has been idle for longer than its time to live."""
    return None if entity is None or time_ms - entity[0] > app.ttl_ms else entity


def features_of(windows: Windows, champion: Champion, entity: Entity | None, time_ms: int) -> dict[str, Any]:
    """The entity's features at a time, which runs no further back than the learner's own."""
    now_ms = max(time_ms, champion.published.log_time_ms)
    return windows.row(entity[2] if entity is not None else None, now_ms)
