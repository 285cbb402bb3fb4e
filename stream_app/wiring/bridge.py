"""The composition root of the bridge."""

from __future__ import annotations

import structlog

from stream_app.adapters.bridge_metrics import BridgeMetrics
from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_bridge import KafkaBridge
from stream_app.adapters.schema_registry import SchemaRegistry
from stream_app.application import Application
from stream_app.bridge.process import Bridge
from stream_app.bridge.translation import Translator
from stream_app.errors import UsageError
from stream_app.inputs.mapping import NONE
from stream_app.inputs.schemas import Schemas
from stream_app.settings import Settings
from stream_app.wiring.topics import all_topics, catalog_for
from topics.catalog import bridge_topic, retries_topic


def bridge(
    app: Application,
    settings: Settings,
    *,
    instance_id: str | None = None,
    exit_when_idle_s: float | None = None,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
) -> Bridge:
    """A bridge's loop, ready to run.

    Raises:
        UsageError: the definition names no topics that are bridged.
        Refused: a topic is missing, or a port is taken.
    """
    if app.inputs is None:
        raise UsageError(
            f"{app.name} has no inputs=, so there is nothing to bridge",
            "Name the topics: Application(inputs=Inputs(events=Topic(…)), …)",
        )
    structlog.contextvars.bind_contextvars(app=app.name)
    own, kept = catalog_for(app, settings), bridge_topic(app.name).name
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        admin.require(all_topics(app, settings))
    topics = {
        "events": own.events.name,
        "labels": own.labels.name,
        "dead_letters": own.dead_letters.name,
        "bridge": kept,
    }
    metrics = BridgeMetrics(app.name)
    if metrics_port is not None:
        metrics.serve(metrics_port, metrics_host)
    clock = SystemClock()
    inputs = (*app.inputs.names, retries_topic(app.name).name)
    log = KafkaBridge(settings.kafka.confluent(), kept, topics, inputs, instance_id)
    translator = Translator(app, clock.now_ms, schemas_of(settings))
    return Bridge(log, translator, clock, metrics.report, exit_when_idle_s)


def schemas_of(settings: Settings) -> Schemas:
    """The registry that the settings name, or nobody."""
    if not settings.registry.url:
        return NONE
    return SchemaRegistry(settings.registry.url, SystemClock(), **settings.registry.client_kwargs())
