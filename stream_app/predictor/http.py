"""FastAPI: the routes, and every error as a problem document. GET changes nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import orjson
import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from stream_app.client.checks import encoded_key
from stream_app.durations import parse_duration
from stream_app.errors import Unreachable
from stream_app.flow.record_rules import label_type_fault
from stream_app.predictor.answer import Asked, Predicted
from stream_app.predictor.predictor import NoModel, Predictor, Stale
from stream_app.predictor.requests import (
    BatchRequest,
    BatchResponse,
    ExplainRequest,
    FeaturesResponse,
    FeedbackRequest,
    FeedbackResponse,
    PredictRequest,
    PredictResponse,
    Problem,
)
from stream_app.web.guard import BodyLimit, Guard, keep_strangers_names_out
from stream_app.web.problems import MEDIA_TYPE, RETRY_AFTER, ProblemError, handle_errors
from stream_app.web.routes import allow, watched
from topics.codec import JSON_OPTIONS, Rejected
from topics.reasons import REASONS

AGAIN_S = 1.0
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {MEDIA_TYPE: {}}} for status in (401, 403, 409, 413, 422, 429, 503)
}
log = structlog.get_logger()


class StrictRequest(Request):
    """JSON as the learner reads it: no NaN, no lone surrogates, no integers beyond 64 bits."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class StrictRoute(APIRoute):
    """Routes whose bodies are read by `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def json(value: Any, status: int = 200) -> Response:
    """A class is named by its JSON text, as in prediction records."""
    return Response(orjson.dumps(value, option=JSON_OPTIONS), status, media_type="application/json")


def create_app(
    predictor: Predictor,
    guard: Guard,
    metrics: Callable[[], tuple[bytes, str]],
    background: Callable[[], list[Callable[[], Awaitable[None]]]],
) -> FastAPI:
    """The application of one worker; `background` gives what runs beside the requests, begun in its loop."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # What was imported alone makes a full collection take 0.1 s, in which Redis seems not to answer.
        gc.collect()
        gc.freeze()
        tasks = [asyncio.ensure_future(unending(work)) for work in background()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await predictor.feedback.close()
            await predictor.entities.view.close()

    title = f"{predictor.app.name}: predictions"
    app = FastAPIOffline("/docs", None, title=title, version="1", lifespan=lifespan)
    app.include_router(versioned(predictor, guard))
    app.include_router(explanations(predictor, guard))
    app.include_router(watched(metrics))
    app.include_router(readiness(predictor))
    app.add_middleware(BodyLimit, on_problem=predictor.telemetry.problem)
    keep_strangers_names_out(app, guard)
    handle_errors(app, predictor.telemetry.problem)
    return app


async def unending(work: Callable[[], Awaitable[None]]) -> None:
    """Background work that ends by itself alone: a fault is logged, and it starts again."""
    while True:
        try:
            await work()
            return
        except Exception:
            log.exception("background work failed")
            await asyncio.sleep(AGAIN_S)


def versioned(predictor: Predictor, guard: Guard) -> APIRouter:
    """The routes of applications."""
    router = APIRouter(prefix="/v1", route_class=StrictRoute, responses=PROBLEMS)
    read, feedback = [allow(guard, "read")], [allow(guard, "feedback")]

    @router.post("/predict", response_model=PredictResponse, dependencies=read)
    async def predict(asked: PredictRequest, request: Request) -> Response:
        """Predict one row from the newest features and the newest champion."""
        if asked.record:
            guard.authenticate(request.headers.get("authorization"), "feedback")
        now_ms = predictor.clock.now_ms()
        model_ms, feature_ms = ages(predictor, asked.max_model_age, asked.max_feature_age)
        time_ms = now_ms if asked.time is None else asked.time
        row = Asked(
            asked.key, asked.features, time_ms, model_ms, feature_ms, asked.record, asked.explain or 0
        )
        (answer,) = await answers(predictor, [row])
        if not isinstance(answer, dict):
            raise problem_of(answer)
        if asked.record:
            answer["event_id"] = asked.event_id or uuid4().hex
            try:
                await predictor.feedback.event(asked.key, answer["event_id"], asked.features, time_ms)
                answer["recorded"] = True
            except Unreachable:
                answer["recorded"] = False
        return json(answer)

    @router.post("/predict/batch", response_model=BatchResponse, dependencies=read)
    async def predict_batch(asked: BatchRequest) -> Response:
        """Predict many rows from the copies of one moment; a bad row has a problem in its place."""
        now_ms = predictor.clock.now_ms()
        bounds = ages(predictor, asked.max_model_age, asked.max_feature_age)
        rows = [
            Asked(row.key, row.features, now_ms if row.time is None else row.time, *bounds)
            for row in asked.rows
        ]
        documents = [
            answer if isinstance(answer, dict) else problem_of(answer).document
            for answer in await answers(predictor, rows)
        ]
        return json({"rows": documents})

    @router.get("/features/{key:path}", response_model=FeaturesResponse, dependencies=read)
    async def features(key: str) -> Response:
        """An entity's features as a prediction now would see them."""
        encoded_key(key)
        try:
            return json(await predictor.features(key))
        except NoModel as error:
            raise no_model(error) from error

    @router.post("/feedback", response_model=FeedbackResponse, dependencies=feedback)
    async def give_feedback(asked: FeedbackRequest) -> Response:
        """Write a label to Kafka, placed as its event was; 200 once Kafka has confirmed it."""
        fault = label_type_fault(predictor.app, asked.label)
        if fault is not None:
            fix = REASONS[fault.reason].remedy if fault.reason in REASONS else ""
            raise ProblemError(422, "malformed", fault.message, fix, reason=fault.reason)
        try:
            await predictor.feedback.label(asked.key, asked.event_id, asked.label, asked.weight, asked.time)
        except Unreachable as error:
            raise ProblemError(
                503, "unavailable", error.message, error.remedy, headers=RETRY_AFTER
            ) from error
        return json({"event_id": asked.event_id, "written": True})

    @router.get("/model", dependencies=read)
    async def model() -> Response:
        """Which model answers, by shard, and what it was trained through."""
        return json({"app": predictor.app.name, "shards": predictor.models()})

    return router


def explanations(predictor: Predictor, guard: Guard) -> APIRouter:
    """Answers with what made them so."""
    router = APIRouter(prefix="/v1", route_class=StrictRoute, responses=PROBLEMS)

    @router.post("/explain", response_model=PredictResponse, dependencies=[allow(guard, "read")])
    async def explain(asked: ExplainRequest) -> Response:
        """Predict one row and say which features moved the answer, and how far."""
        time_ms = predictor.clock.now_ms() if asked.time is None else asked.time
        row = Asked(asked.key, asked.features, time_ms, *ages(predictor, None, None), explain=asked.most)
        (answer,) = await answers(predictor, [row])
        if not isinstance(answer, dict):
            raise problem_of(answer)
        return json(answer)

    return router


def readiness(predictor: Predictor) -> APIRouter:
    """Whether this process can answer; checks no token."""
    router = APIRouter()

    @router.get("/readyz", responses={503: {"model": Problem, "content": {MEDIA_TYPE: {}}}})
    async def readyz() -> dict[str, str]:
        """Every shard has a verified model."""
        if not predictor.champions.ready:
            raise no_model(NoModel(*predictor.champions.lacking()))
        return {"status": "ready"}

    return router


async def answers(predictor: Predictor, rows: list[Asked]) -> list[dict[str, Any] | Rejected | Stale]:
    """Predictions, or the problem that all of them have."""
    for row in rows:
        encoded_key(row.key)
    try:
        return await predictor.predict(rows)
    except NoModel as error:
        raise no_model(error) from error


def problem_of(refusal: Rejected | Stale) -> ProblemError:
    """Why one row has no answer."""
    if isinstance(refusal, Rejected):
        known = REASONS.get(refusal.reason)
        fix = known.remedy if known else ""
        return ProblemError(422, "bad-row", refusal.message, fix, reason=refusal.reason)
    found = refusal.found
    return ProblemError(
        409,
        "stale",
        f"the answer breaks {', '.join(found.violated)}",
        stale_fix(found),
        model_age_ms=found.model_age_ms,
        feature_age_ms=found.feature_age_ms,
        violated=found.violated,
    )


def stale_fix(found: Predicted) -> str:
    """What helps against a broken bound; none is large enough for an entity that nothing is known of."""
    if found.violated == ("feature-age",) and found.feature_age_ms is None:
        return "Write an event of this entity first, leave the bound out, or declare a fallback"
    return "Ask with a larger bound, or declare a fallback"


def ages(predictor: Predictor, model: str | None, feature: str | None) -> tuple[int | None, int | None]:
    """The request's bounds in ms, else the definition's."""
    return (
        predictor.max_model_age_ms if model is None else parse_duration(model),
        predictor.max_feature_age_ms if feature is None else parse_duration(feature),
    )


def no_model(error: NoModel) -> ProblemError:
    """Nothing to answer with yet."""
    return ProblemError(503, "no-model", str(error), error.remedy, headers=RETRY_AFTER)
