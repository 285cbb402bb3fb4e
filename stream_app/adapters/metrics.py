"""prometheus-client: what a learner exports, from the same statistics that go to `<app>.stats`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

COUNTS = "stream_app_records"
LABELS = ["app", "shard"]


class Metrics(Collector):
    """Keeps each shard's newest statistics and renders them at a scrape; nothing is counted twice."""

    def __init__(self, app: str) -> None:
        self.app = app
        self.newest: dict[int, Mapping[str, Any]] = {}
        self.reasons: dict[int, str] = {}

    def stats(self, shard: int, stats: Mapping[str, Any]) -> None:
        self.newest[shard] = stats

    def halted(self, shard: int, reason: str) -> None:
        self.reasons[shard] = reason

    def collect(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        """Metric families over all shards of this process."""
        counts = CounterMetricFamily(COUNTS, "Records by what became of them", labels=[*LABELS, "outcome"])
        dead = CounterMetricFamily(
            "stream_app_dead_letters", "Dead letters by reason", labels=[*LABELS, "reason"]
        )
        waiting = GaugeMetricFamily(
            "stream_app_waiting_rows", "Rows that wait for a label", labels=[*LABELS, "kind"]
        )
        learned = CounterMetricFamily("stream_app_labels_learned", "Labels by slot", labels=[*LABELS, "slot"])
        score = GaugeMetricFamily(
            "stream_app_rolling_score",
            "Rolling score on served predictions",
            labels=[*LABELS, "slot", "metric"],
        )
        age = GaugeMetricFamily(
            "stream_app_snapshot_age_seconds", "Age of the newest snapshot", labels=LABELS
        )
        cost = CounterMetricFamily("stream_app_cost_seconds", "Time by stage", labels=[*LABELS, "stage"])
        view = GaugeMetricFamily(
            "stream_app_view_caught_up", "1 when Redis shows the newest commit", labels=LABELS
        )
        halted = GaugeMetricFamily("stream_app_shard_halted", "1 when a person must decide", labels=LABELS)
        for shard, stats in self.newest.items():
            here = [self.app, str(shard)]
            for outcome, n in stats["counts"].items():
                counts.add_metric([*here, outcome], n)
            for reason, n in stats["dead_letters"].items():
                dead.add_metric([*here, reason], n)
            for kind, n in stats["waiting"].items():
                waiting.add_metric([*here, kind], n)
            for slot in stats["slots"]:
                learned.add_metric([*here, slot["name"]], slot["learned"])
                for metric, value in slot["scores"]["rolling"].items():
                    score.add_metric([*here, slot["name"], metric], value)
            if stats["snapshot"]["age_s"] is not None:
                age.add_metric(here, stats["snapshot"]["age_s"])
            for stage, seconds in stats["cost_s"].items():
                cost.add_metric([*here, stage], seconds)
            view.add_metric(here, float(stats["view"]["caught_up"]))
        for shard in {*self.newest, *self.reasons}:
            halted.add_metric([self.app, str(shard)], float(shard in self.reasons))
        return [counts, dead, waiting, learned, score, age, cost, view, halted]

    def serve(self, port: int, host: str) -> None:
        """Answer scrapes at http://host:port/metrics from a thread of its own."""
        registry = CollectorRegistry()
        registry.register(self)
        start_http_server(port, host, registry)
