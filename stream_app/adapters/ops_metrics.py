"""prometheus-client: what the ops process counts."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest


class OpsMetrics:
    """A registry of its own, so that two in one process do not meet."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.alerts = Counter(
            "stream_app_ops_alerts", "Alerts taken", ["app", "type", "severity"], registry=registry
        )
        self.notifications = Counter(
            "stream_app_ops_notifications", "Notifications by what became of them",
            ["channel", "route", "outcome"], registry=registry,
        )  # fmt: skip
        self.held = Counter(
            "stream_app_ops_held_back", "Alerts told only in a summary", ["route"], registry=registry
        )
        self.given_up = Counter(
            "stream_app_ops_undelivered_alerts", "Alerts that a route gave up: its channel refused them",
            ["route"], registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "stream_app_ops_outbox_alerts", "Alerts that a route has still to tell", ["route"],
            registry=registry,
        )  # fmt: skip
        self.oldest = Gauge(
            "stream_app_ops_outbox_oldest_timestamp_seconds", "Time of the oldest of them, 0: none",
            ["route"], registry=registry,
        )  # fmt: skip
        self.failures = Counter(
            "stream_app_ops_agent_failures", "Records that ops could not take", ["app", "topic"],
            registry=registry,
        )  # fmt: skip
        self.owner = Gauge(
            "stream_app_ops_owner", "1 while this process owns the group's tables", registry=registry
        )
        self.recoveries = Counter(
            "stream_app_ops_recoveries", "Times the tables were read again", registry=registry
        )
        self.recovery = Gauge(
            "stream_app_ops_recovery_seconds", "Seconds that the last recovery took", registry=registry
        )
        self.subscribers = Gauge(
            "stream_app_ops_board_subscribers", "Pages that follow a board now", ["app"], registry=registry
        )

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
