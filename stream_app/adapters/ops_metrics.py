"""prometheus-client: what the ops process counts."""

from __future__ import annotations

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge}
# (name without `_total`, kind, help, labels); docs/metrics.md is made of them.
OPS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("stream_app_ops_alerts", "counter", "Alerts received", ("app", "type", "severity")),
    ("stream_app_ops_notifications", "counter", "Notifications by outcome", ("channel", "route", "outcome")),
    ("stream_app_ops_held_back", "counter", "Alerts that were sent only as part of a summary", ("route",)),
    ("stream_app_ops_undelivered_alerts", "counter",
     "Alerts given up by a route because its channel refused the notification", ("route",)),
    ("stream_app_ops_outbox_alerts", "gauge", "Alerts that a route has not yet delivered", ("route",)),
    ("stream_app_ops_outbox_oldest_timestamp_seconds", "gauge",
     "Time of the oldest alert that a route has not yet delivered; 0 if none", ("route",)),
    ("stream_app_ops_agent_failures", "counter", "Records that ops could not process", ("app", "topic")),
    ("stream_app_ops_owner", "gauge", "Whether this process owns the tables of the group (1) or not (0)", ()),
    ("stream_app_ops_recoveries", "counter", "Recoveries of the tables from Kafka", ()),
    ("stream_app_ops_recovery_seconds", "gauge", "Duration of the newest recovery of the tables", ()),
    ("stream_app_ops_board_subscribers", "gauge", "Dashboard pages that are open", ("app",)),
)  # fmt: skip


class OpsMetrics:
    """A registry of its own, so that two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = {
            name.removeprefix("stream_app_ops_"): KINDS[kind](
                name, text, labelnames=labels, registry=self.registry
            )
            for name, kind, text, labels in OPS
        }
        self.alerts, self.notifications = made["alerts"], made["notifications"]
        self.held, self.given_up = made["held_back"], made["undelivered_alerts"]
        self.waiting, self.oldest = made["outbox_alerts"], made["outbox_oldest_timestamp_seconds"]
        self.failures, self.owner = made["agent_failures"], made["owner"]
        self.recoveries, self.recovery = made["recoveries"], made["recovery_seconds"]
        self.subscribers = made["board_subscribers"]

    def alert(self, app: str, kind: str, severity: str) -> None:
        self.alerts.labels(app, kind, severity).inc()

    def notified(self, channel: str, route: str, outcome: str) -> None:
        self.notifications.labels(channel, route, outcome).inc()

    def held_back(self, route: str, n: int) -> None:
        self.held.labels(route).inc(n)

    def undelivered(self, route: str, n: int) -> None:
        self.given_up.labels(route).inc(n)

    def outbox(self, route: str, waiting: int, oldest_ms: int | None) -> None:
        self.waiting.labels(route).set(waiting)
        self.oldest.labels(route).set((oldest_ms or 0) / 1000)

    def agent_failed(self, app: str, topic: str) -> None:
        self.failures.labels(app, topic).inc()

    def owns(self, *, owner: bool) -> None:
        self.owner.set(owner)

    def recovered(self, seconds: float) -> None:
        self.recoveries.inc()
        self.recovery.set(seconds)

    def followed(self, app: str, n: int) -> None:
        """Pages that follow the board of an application now."""
        self.subscribers.labels(app).set(n)

    def render(self) -> tuple[bytes, str]:
        """The text of a scrape and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
