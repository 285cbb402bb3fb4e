"""prometheus-client: what a bridge exports."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from stream_app.adapters.scrapes import serve_scrapes
from stream_app.bridge_port import BridgeReport

# (name without `_total`, kind, help, labels beside `app`); docs/metrics.md is made of them.
BRIDGE: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("stream_app_bridge_records", "counter",
     "Records read from a topic by outcome: event, label, waiting, skipped, dead, copied",
     ("topic", "outcome")),
    ("stream_app_bridge_lag_records", "gauge",
     "Records of an input partition that are not bridged yet", ("topic", "partition")),
    ("stream_app_bridge_waiting_labels", "gauge", "Labels that wait for their event", ()),
    ("stream_app_bridge_event_ids", "gauge", "Events whose key is remembered for their label", ()),
    ("stream_app_bridge_forgotten_ids", "counter",
     "Events whose key was forgotten early because max_ids was reached", ()),
    ("stream_app_bridge_waits_for_schema", "gauge",
     "Whether everything waits for the schema registry (1) or not (0)", ()),
    ("stream_app_bridge_active", "gauge", "Whether this process bridges (1) or stands by (0)", ()),
)  # fmt: skip
FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class BridgeMetrics(Collector):
    """Renders the newest report of the loop at a scrape."""

    def __init__(self, app: str) -> None:
        self.app = app
        self.newest: BridgeReport | None = None

    def report(self, report: BridgeReport) -> None:
        """Show this report until a newer one comes."""
        self.newest = report

    def collect(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        """Metric families. Called on the scraper's thread."""
        made = {
            name.removeprefix("stream_app_bridge_"): FAMILIES[kind](name, text, labels=["app", *labels])
            for name, kind, text, labels in BRIDGE
        }
        report, app = self.newest, self.app
        if report is not None:
            for (topic, outcome), n in dict(report.counts).items():
                made["records"].add_metric([app, topic, outcome], n)
            for (topic, partition), n in report.lag.items():
                made["lag_records"].add_metric([app, topic, str(partition)], n)
            made["waiting_labels"].add_metric([app], report.waiting)
            made["event_ids"].add_metric([app], report.ids)
            made["forgotten_ids"].add_metric([app], report.forgotten)
            made["waits_for_schema"].add_metric([app], float(report.waits_for_schema))
            made["active"].add_metric([app], float(report.active))
        return list(made.values())

    def serve(self, port: int, host: str) -> None:
        """Answer scrapes at http://host:port/metrics from a thread.

        Raises:
            Refused: the port is taken, or may not be used.
        """
        serve_scrapes(self, port, host, "Give another --metrics-port")
