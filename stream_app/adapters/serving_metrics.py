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
SEVERAL = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's own variable


class ServingMetrics:
    """One worker's; none of them counts what another one does."""

    def __init__(self, app: str) -> None:
        self.registry = CollectorRegistry()
        here: dict[str, Any] = {"labelnames": ["app"], "registry": self.registry}
        by_shard: dict[str, Any] = {"labelnames": ["app", "shard"], "registry": self.registry}
        newest: dict[str, Any] = {**by_shard, "multiprocess_mode": "mostrecent"}
        self.app = app
        self.seconds = Histogram(
            "stream_app_predict_seconds",
            "Time to answer a request, features included",
            buckets=SECONDS,
            **here,
        ).labels(app)
        self.rows = Counter("stream_app_predicted_rows", "Rows answered", **here).labels(app)
        self.stale = Counter("stream_app_stale_answers", "Rows answered and marked stale", **here).labels(app)
        self.unknown = Counter(
            "stream_app_unknown_entities", "Rows of entities that nothing is known of", **here
        ).labels(app)
        self.hits = Counter("stream_app_entity_hits", "Entities found in this process", **here).labels(app)
        self.misses = Counter("stream_app_entity_misses", "Entities asked of Redis", **here).labels(app)
        self.refusals = Counter("stream_app_publications_refused", "Publications not taken over", **by_shard)
        self.version = Gauge("stream_app_served_version", "Version of the model that answers", **newest)
        self.learned = Gauge("stream_app_served_learned", "Labels that it knew", **newest)
        self.newest_at = Gauge(
            "stream_app_served_newest_timestamp_seconds", "When it was known to be the newest", **newest
        )

    def answered(self, seconds: float, rows: int, stale: int, unknown: int) -> None:
        self.seconds.observe(seconds)
        self.rows.inc(rows)
        if stale:
            self.stale.inc(stale)
        if unknown:
            self.unknown.inc(unknown)

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
