"""Everything behind the routes: champions, entities and the way back into the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stream_app.application import Application
from stream_app.durations import parse_duration
from stream_app.flow.record_rules import FeatureRules
from stream_app.ports import Clock, ServingTelemetry
from stream_app.predictor.answer import Asked, Predicted, features_of, living, predict_row
from stream_app.predictor.champion import Champion
from stream_app.predictor.champions import Champions
from stream_app.predictor.entities import EntityCache, Found
from stream_app.predictor.feedback import Feedback
from stream_app.state.windows import Windows
from topics.codec import Rejected
from topics.envelope import RANK_NAMES


class NoModel(Exception):
    """The shard of a key has no verified model yet; `remedy` is for who runs the predictor."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Stale(NamedTuple):
    """The answer would break the freshness that was asked for, and no fallback is declared."""

    found: Predicted


class Predictor:
    """Answers rows of one application; every method may be called from one event loop only."""

    def __init__(
        self,
        app: Application,
        champions: Champions,
        entities: EntityCache,
        feedback: Feedback,
        clock: Clock,
        telemetry: ServingTelemetry,
    ) -> None:
        self.app, self.champions, self.entities, self.feedback = app, champions, entities, feedback
        self.clock, self.telemetry = clock, telemetry
        self.rules, self.windows = FeatureRules(app), Windows(app.features)
        serving = app.serving
        self.max_model_age_ms = (
            None if serving.max_model_age is None else parse_duration(serving.max_model_age)
        )
        self.max_feature_age_ms = (
            None if serving.max_feature_age is None else parse_duration(serving.max_feature_age)
        )

    async def predict(self, rows: Sequence[Asked]) -> list[dict[str, Any] | Rejected | Stale]:
        """An answer or a refusal for each row, all from the copies of one moment.

        Raises:
            NoModel: some row's shard has none yet.
        """
        started_s = self.clock.monotonic()
        if self.app.features:
            entities = await self.entities.many([row.key for row in rows])
        else:
            up = self.entities.up
            entities = [Found(self.entities.shard_of(row.key), None, up) for row in rows]
        now_ms = self.clock.now_ms()
        answers: list[dict[str, Any] | Rejected | Stale] = []
        stale = unknown = bad = broken = 0
        age_ms: int | None = None
        for row, known in zip(rows, entities, strict=True):
            champion = self.champion_of(known.shard)
            at_ms = self.champions.at_ms[known.shard]
            answer = predict_row(self.app, self.rules, self.windows, champion, at_ms, known, row, now_ms)
            if isinstance(answer, Rejected):
                bad += 1
                answers.append(answer)
                continue
            response = self.as_response(champion, row, answer)
            answers.append(response)
            stale += bool(answer.stale)
            broken += isinstance(response, Stale)
            unknown += not answer.known and bool(self.app.features)
            age_ms = answer.feature_age_ms if age_ms is None else age_ms
        self.telemetry.answered(
            self.clock.monotonic() - started_s,
            len(rows),
            stale=stale,
            unknown=unknown,
            bad=bad,
            broken=broken,
            feature_age_s=None if age_ms is None else age_ms / 1000,
        )
        return answers

    def as_response(self, champion: Champion, row: Asked, answer: Predicted) -> dict[str, Any] | Stale:
        """The JSON object of an answer, with the names of prediction records; `Stale` where it breaks its
        bounds and nothing stands in.
        """
        fallback = self.app.serving.fallback if answer.violated else None
        if answer.violated and fallback is None:
            return Stale(answer)
        published = champion.published
        response: dict[str, Any] = {
            "key": row.key,
            "prediction": fallback if answer.violated else answer.prediction,
            "cold": answer.prediction is None,
            "model": champion.name,
            "learned": published.learned,
            "shard": champion.shard,
            "time_ms": row.time_ms,
            "model_age_ms": answer.model_age_ms,
            "feature_age_ms": answer.feature_age_ms,
            "entity_known": answer.known,
            "stale": bool(answer.stale),
            "stale_because": answer.stale,
            "fallback": bool(answer.violated),
        }
        if answer.violated:
            return response
        if answer.probabilities is not None:
            response["probabilities"] = {label: float(p) for label, p in answer.probabilities.items()}
        if answer.prediction is None:
            response["prior"] = answer.prior
        if answer.explanation is not None:
            response["explanation"] = answer.explanation
        if published.weights is not None:
            response["weights"] = {} if answer.prediction is None else published.carriers
            if published.left_out:
                response["left_out"] = published.left_out
        return response

    def champion_of(self, shard: int) -> Champion:
        """What answers for a shard; raises NoModel."""
        champion = self.champions.current[shard]
        if champion is None:
            raise NoModel(*self.champions.lacking(shard))
        return champion

    async def features(self, key: str) -> dict[str, Any]:
        """An entity's features as a prediction now would see them.

        Raises:
            NoModel: its shard has none yet, and with it no log time.
        """
        (found,) = await self.entities.many([key])
        champion = self.champion_of(found.shard)
        now_ms = self.clock.now_ms()
        entity = living(self.app, found.entity, now_ms)
        return {
            "key": key,
            "shard": found.shard,
            "features": features_of(self.windows, champion, entity, now_ms),
            "feature_age_ms": None if entity is None else max(0, now_ms - entity[0]),
            "entity_known": entity is not None,
            "stale": not found.current,
        }

    def models(self) -> list[dict[str, Any]]:
        """What answers, by shard; `version` null where nothing does yet."""
        now_ms = self.clock.now_ms()
        rows: list[dict[str, Any]] = []
        for shard, champion in enumerate(self.champions.current):
            if champion is None:
                rows.append({"shard": shard, "version": None})
                continue
            published = champion.published
            rows.append(
                {
                    "shard": shard,
                    "name": published.name,
                    "version": published.version,
                    "learned": published.learned,
                    "epoch": champion.batch.epoch,
                    "seq": champion.batch.seq,
                    "trained_through": dict(zip(RANK_NAMES, champion.positions, strict=True)),
                    "log_time_ms": published.log_time_ms,
                    "model_age_ms": max(0, now_ms - self.champions.at_ms[shard]),
                }
            )
        return rows
