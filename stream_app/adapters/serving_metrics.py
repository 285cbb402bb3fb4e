"""prometheus-client: what a predictor exports; several workers write to files that a scrape sums up."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
AGES_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 2_419_200.0)
SEVERAL = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's own variable
KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
# (name without `_total`, kind, help, labels, settings); docs/metrics.md is made of them.
SERVING: tuple[tuple[str, str, str, tuple[str, ...], dict[str, Any]], ...] = (
    (
        "stream_app_predict_seconds",
        "histogram",
        "Time to answer a request, reading features included",
        ("app",),
        {"buckets": SECONDS},
    ),
    ("stream_app_predicted_rows", "counter", "Rows requested from a shard that had a model", ("app",), {}),
    ("stream_app_refused_rows", "counter", "Rows refused, by reason: bad-row, stale", ("app", "why"), {}),
    (
        "stream_app_problems",
        "counter",
        "Requests answered with a problem document, by status",
        ("app", "status"),
        {},
    ),
    (
        "stream_app_stale_answers",
        "counter",
        "Rows answered with a mark that the answer is stale",
        ("app",),
        {},
    ),
    ("stream_app_unknown_entities", "counter", "Rows whose entity has no stored features", ("app",), {}),
    (
        "stream_app_feature_age_seconds",
        "histogram",
        "Age of the stored features, for the first known entity of a request",
        ("app",),
        {"buckets": AGES_S},
    ),
    ("stream_app_entity_hits", "counter", "Entities whose features were cached in the process", ("app",), {}),
    ("stream_app_entity_misses", "counter", "Entities whose features were read from Redis", ("app",), {}),
    (
        "stream_app_publications_refused",
        "counter",
        "Published models that were refused",
        ("app", "shard"),
        {},
    ),
    (
        "stream_app_served_version",
        "gauge",
        "Version of the serving model",
        ("app", "shard"),
        {"multiprocess_mode": "mostrecent"},
    ),
    (
        "stream_app_served_learned",
        "gauge",
        "Labels learned by the serving model",
        ("app", "shard"),
        {"multiprocess_mode": "mostrecent"},
    ),
    (
        "stream_app_served_newest_timestamp_seconds",
        "gauge",
        "Time at which the serving model was last confirmed as the newest",
        ("app", "shard"),
        {"multiprocess_mode": "mostrecent"},
    ),
)


class ServingMetrics:
    """Metrics of one worker, which counts nothing that another worker does."""

    def __init__(self, app: str) -> None:
        self.registry, self.app = CollectorRegistry(), app
        made = {
            name.removeprefix("stream_app_"): KINDS[kind](
                name, text, labelnames=labels, registry=self.registry, **settings
            )
            for name, kind, text, labels, settings in SERVING
        }
        self.seconds, self.ages = made["predict_seconds"].labels(app), made["feature_age_seconds"].labels(app)
        self.rows, self.stale = made["predicted_rows"].labels(app), made["stale_answers"].labels(app)
        self.unknown = made["unknown_entities"].labels(app)
        self.hits, self.misses = made["entity_hits"].labels(app), made["entity_misses"].labels(app)
        self.bad, self.broken = (made["refused_rows"].labels(app, why) for why in ("bad-row", "stale"))
        self.problems, self.refusals = made["problems"], made["publications_refused"]
        self.version, self.learned = made["served_version"], made["served_learned"]
        self.newest_at = made["served_newest_timestamp_seconds"]

    def answered(
        self,
        seconds: float,
        rows: int,
        *,
        stale: int,
        unknown: int,
        bad: int,
        broken: int,
        feature_age_s: float | None,
    ) -> None:
        self.seconds.observe(seconds)
        self.rows.inc(rows)
        if feature_age_s is not None:
            self.ages.observe(feature_age_s)
        for counter, n in (
            (self.stale, stale),
            (self.unknown, unknown),
            (self.bad, bad),
            (self.broken, broken),
        ):
            if n:
                counter.inc(n)

    def problem(self, status: int) -> None:
        self.problems.labels(self.app, str(status)).inc()

    def read(self, hits: int, misses: int) -> None:
        if hits:
            self.hits.inc(hits)
        if misses:
            self.misses.inc(misses)

    def refused(self, shard: int) -> None:
        self.refusals.labels(self.app, str(shard)).inc()

    def serves(self, shard: int, version: int, learned: int, at_ms: int) -> None:
        here = (self.app, str(shard))
        self.version.labels(*here).set(version)
        self.learned.labels(*here).set(learned)
        self.newest_at.labels(*here).set(at_ms / 1000)

    def render(self) -> tuple[bytes, str]:
        """The text of a scrape and its media type, of all workers where there are several."""
        registry = self.registry
        if os.environ.get(SEVERAL):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST
