"""The composition root of a predictor; beside `wiring`, since a learner has no use for a web server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.redis_serving import RedisServing
from stream_app.adapters.serving_metrics import ServingMetrics
from stream_app.adapters.signing import public_key
from stream_app.adapters.snapshot_store import sealed_opener
from stream_app.application import Application
from stream_app.definition.digest import layout_of
from stream_app.errors import Refused
from stream_app.learner.recovery.fingerprint import fingerprint, for_predictors
from stream_app.predictor.champions import Champions, keep_fresh
from stream_app.predictor.entities import EntityCache, hear
from stream_app.predictor.feedback import Feedback
from stream_app.predictor.http import create_app
from stream_app.predictor.predictor import Predictor
from stream_app.predictor.refusals import Refusals
from stream_app.settings import Settings
from stream_app.web.guard import Guard


def verifying_keys(settings: Settings) -> list[bytes]:
    """Public keys, one of which must have signed a model that is served.

    Raises:
        Refused: none is set.
    """
    signing = settings.signing
    keys = [*signing.public_bytes(), *map(public_key, signing.private_bytes())]
    if not keys:
        raise Refused(
            "no key verifies what learners sign",
            "Set STREAM_APP_SIGNING__PUBLIC_KEYS: `stream-app keys public` prints it where a learner runs",
        )
    return keys


def predictor(app: Application, settings: Settings) -> FastAPI:
    """One worker of `stream-app serve`: its routes, and what runs beside them."""
    serve = settings.serve
    view = RedisServing(
        settings.redis.url.get_secret_value(),
        settings.redis.client_kwargs(),
        app.name,
        app.shards,
        settings.snapshots.url,
        serve.redis_timeout_s,
    )
    metrics, clock = ServingMetrics(app.name), SystemClock()
    entities = EntityCache(view, app.shards, serve.cache_entities, metrics, layout_of(app))
    feedback = Feedback(app.name, settings.kafka.kafka_python())
    prints = for_predictors(fingerprint(app, {}))
    refusals = Refusals(app.name, clock)
    opened = sealed_opener(verifying_keys(settings), app.modules)
    champions = Champions(app, prints, view, opened, metrics, refusals.add)
    answering = Predictor(app, champions, entities, feedback, clock, metrics)

    def background() -> list[Callable[[], Awaitable[None]]]:
        return [
            lambda: keep_fresh(champions, serve.refresh_s, entities.reachable),
            lambda: hear(view, entities),
            lambda: refusals.write(feedback),
            feedback.keep_connected,
        ]

    return create_app(answering, Guard(serve.tokens(), serve.requests_per_s), metrics.render, background)
