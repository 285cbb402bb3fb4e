"""What a predictor gets of a shard: its champion or its blend, with all that answers need beside it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from stream_app.application import Application
from stream_app.flow.predict import carriers, prior_of
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.models.calls import Answer
from stream_app.state.blend import BLEND
from stream_app.state.published import FORMAT, KIND, Published


def header(app: Application, processor: BatchProcessor, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """What a publication says of itself, all of it signed; `positions` are what it was trained through."""
    state = processor.core.state
    return {
        "format": FORMAT,
        "kind": KIND,
        "app": app.name,
        "shard": state.shard,
        "epoch": processor.epoch,
        "seq": processor.seq,
        "slot": processor.core.served.name,
        "version": state.served_version,
        "learned": state.champion.learned,
        "positions": list(processor.positions),
        "log_time_ms": state.log_time_ms,
        "fingerprint": fingerprint,
    }


def publish(app: Application, processor: BatchProcessor, left_out: Collection[int] = ()) -> Published:
    """Give the champion with what predictors need beside it; of a blend, without the versions `left_out`."""
    core, state = processor.core, processor.core.state
    champion, blend = state.champion, state.blend
    bound = app.limits.max_categories
    full = state.category_bytes >= app.limits.max_category_bytes
    published = Published(
        champion.model,
        champion.name,
        state.served_version,
        champion.learned,
        champion.cold,
        state.log_time_ms,
        prior_of(state),
        dict(state.kinds),
        {name: dict(seen) for name, seen in state.categories.items() if full or len(seen) >= bound},
        list(state.sample_rows),
        full,
        tuple(state.unproven),
        usual={name: movement.mean for name, movement in state.monitors.movements.items()},
    )
    if blend is not None:
        models = state.blended_models(left_out)
        published.name, published.model, published.weights = BLEND, list(models.values()), list(blend.weights)
        answering: dict[int, Answer] = {
            version: (0, None) for version, one in models.items() if one is not None
        }
        published.carriers = carriers(core, blend, answering)
        published.cold = not answering
        published.left_out = [slot.name for slot in state.slots if slot.version in left_out]
    return published
