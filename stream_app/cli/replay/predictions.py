"""What a shard as it was answers to the rows of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stream_app.flow.record_rules import FeatureRules, features_for_models
from stream_app.learner.publish.publication import publish
from stream_app.models.calls import reply
from stream_app.state.published import Published, bind_published
from stream_app.state.windows import Windows
from topics.codec import Rejected
from topics.placement import partition_for

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.cli.produce.reading import Reading
    from stream_app.learner.batch.processor import BatchProcessor


def predictions(
    app: Application,
    processor: BatchProcessor,
    reading: Reading,
    copy: Callable[[Any], Any],
    *,
    time_ms: int | None,
) -> list[dict[str, Any]]:
    """The answers to the rows whose keys are the shard's, as JSON objects, in the file's order.

    A copy of the models is asked, with the entity's features at `time_ms`, or at the shard's log time.
    """
    from stream_app.client.checks import encoded_key

    state = processor.core.state
    published: Published = copy(publish(app, processor))
    calls, rules, windows = bind_published(published, app.question), FeatureRules(app), Windows(app.features)
    now_ms = state.log_time_ms if time_ms is None else max(time_ms, state.log_time_ms)
    found = []
    for number, row in enumerate(reading.rows):
        key, features, _, _ = reading.columns.event_of(number, row)
        if partition_for(encoded_key(key), app.shards) != state.shard:
            continue
        answer: dict[str, Any] = {"row": number, "key": key}
        own = features_for_models(
            rules, published.kinds, published.unproven, published.full, published.no_more, features
        )
        if isinstance(own, Rejected):
            found.append({**answer, "error": own.message})
            continue
        entity = state.entities.get(key, now_ms) if app.features else None
        seen = windows.row(entity[2] if entity else None, now_ms) if app.features else {}
        seen.update(own)
        prediction, probabilities = (None, None) if published.cold else reply(calls, seen)
        answer |= {"prediction": prediction, "cold": prediction is None}
        if probabilities is not None:
            answer["probabilities"] = probabilities
        elif prediction is None:
            answer["prior"] = published.prior
        found.append(answer)
    return found
