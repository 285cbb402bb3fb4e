"""prometheus-client: what a learner exports, from the same statistics that go to `<app>.stats`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from stream_app.adapters.metrics_table import PHASES, PROCESS, TABLE, Metric
from stream_app.adapters.scrapes import serve_scrapes
from stream_app.flow.build import flow_build
from stream_app.ports import Clock
from topics.records import Stats

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
KINDS = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
DROPPED = "dropped"


class Metrics(Collector):
    """Keeps each shard's newest statistics and renders them at a scrape; nothing is counted twice.

    A shard that is no longer live here has none: another learner exports them.
    """

    def __init__(self, app: str, shards: int, clock: Clock) -> None:
        self.app, self.shards, self.clock = app, shards, clock
        self.newest: dict[int, tuple[float, Stats]] = {}
        self.phases: dict[int, str] = {}
        self.compiled = float(flow_build() == "compiled")

    def stats(self, shard: int, stats: Stats) -> None:
        """Show these statistics until newer ones come."""
        self.newest[shard] = self.clock.monotonic(), stats

    def phase(self, shard: int, phase: str) -> None:
        """Note the phase of a shard; `dropped` forgets it."""
        if phase != "live":
            self.newest.pop(shard, None)
        if phase == DROPPED:
            self.phases.pop(shard, None)
        else:
            self.phases[shard] = phase

    def collect(self) -> list[Family]:
        """Metric families over all shards of this process. Called on the scraper's thread."""
        shown, phases = self.shown(), dict(self.phases)
        return [*self.process(phases), *(self.family(metric, shown) for metric in TABLE)]

    def shown(self) -> dict[int, Stats]:
        """The newest statistics by shard; ages go on where no record has come since."""
        now_s, shown = self.clock.monotonic(), dict[int, Stats]()
        for shard, (at_s, stats) in dict(self.newest).items():
            snapshot = stats.snapshot
            age_s = None if snapshot.age_s is None else snapshot.age_s + now_s - at_s
            shown[shard] = replace(stats, snapshot=replace(snapshot, age_s=age_s))
        return shown

    def process(self, phases: Mapping[int, str]) -> list[GaugeMetricFamily]:
        """What is known without statistics."""
        shards, compiled, phase, halted = (
            GaugeMetricFamily(name, text, labels=labels) for name, text, labels in PROCESS
        )
        shards.add_metric([self.app], self.shards)
        compiled.add_metric([self.app], self.compiled)
        for shard, current in phases.items():
            for one in PHASES:
                phase.add_metric([self.app, str(shard), one], float(one == current))
            halted.add_metric([self.app, str(shard)], float(current == "halted"))
        return [shards, compiled, phase, halted]

    def family(self, metric: Metric, shown: Mapping[int, Stats]) -> Family:
        """One metric over all shards."""
        family: Family = KINDS[metric.kind](metric.name, metric.help, labels=["app", "shard", *metric.labels])
        for shard, stats in shown.items():
            for labels, value in metric.of(stats):
                here = [self.app, str(shard), *labels]
                if isinstance(family, HistogramMetricFamily):
                    if value is not None:
                        bounds = [*map(str, value.le), "+Inf"]
                        family.add_metric(here, list(zip(bounds, value.n, strict=True)), value.sum)
                elif value is not None:
                    family.add_metric(here, value)
        return family

    def serve(self, port: int, host: str) -> None:
        """Answer scrapes at http://host:port/metrics from a thread, with the process's memory and start.

        Raises:
            Refused: the port is taken, or may not be used.
        """
        serve_scrapes(
            self,
            port,
            host,
            "Set STREAM_APP_LEARNER__METRICS_PORT to a free port; each learner here needs its own",
        )
