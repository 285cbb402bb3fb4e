"""The composition root of the bridge."""

from __future__ import annotations

import structlog

from stream_app.adapters.bridge_metrics import BridgeMetrics
from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_bridge import KafkaBridge
from stream_app.adapters.schema_registry import SchemaRegistry
from stream_app.application import Application
from stream_app.bridge.copies import Copies
from stream_app.bridge.process import Bridge
from stream_app.bridge.translation import Translator
from stream_app.bridge_port import bridged_topics
from stream_app.errors import Refused, UsageError
from stream_app.inputs.mapping import NONE
from stream_app.inputs.schemas import Schemas
from stream_app.settings import Settings
from stream_app.wiring.topics import all_topics, catalog_for
from topics.catalog import bridge_topic


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
        UsageError: the definition names no topics that are bridged, or nobody who knows their schema.
        Refused: a topic is missing, or a port is taken.
    """
    if not app.is_bridged:
        raise UsageError(
            f"{app.name} has neither inputs= nor outputs=, so there is nothing to bridge",
            "Name the topics: Application(inputs=Inputs(events=Topic(…)), …)",
        )
    output = app.outputs.predictions if app.outputs is not None else None
    registry = registry_of(settings)
    if output is not None and output.has_schema and registry is None:
        raise UsageError(
            f"format={output.format!r} of output {output.name} needs a schema registry",
            "Set STREAM_APP_REGISTRY__URL, or write format='json'",
        )
    structlog.contextvars.bind_contextvars(app=app.name)
    own, kept = catalog_for(app, settings), bridge_topic(app.name).name
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        admin.require(all_topics(app, settings))
        for fault in admin.check_outputs([output.name])[output.name] if output is not None else ():
            raise Refused(f"topic {fault.topic} {fault.what}", fault.fix)
    topics = {
        "events": own.events.name,
        "labels": own.labels.name,
        "dead_letters": own.dead_letters.name,
        "alerts": own.alerts.name,
        "bridge": kept,
        **({"output": output.name} if output is not None else {}),
    }
    metrics = BridgeMetrics(app.name)
    if metrics_port is not None:
        metrics.serve(metrics_port, metrics_host)
    clock = SystemClock()
    copies = Copies(output, registry) if output is not None else None
    log = KafkaBridge(settings.kafka.confluent(), kept, topics, bridged_topics(app), instance_id)
    translator = Translator(app, clock.now_ms, registry or NONE, copies)
    return Bridge(log, translator, clock, metrics.report, exit_when_idle_s)


def schemas_of(settings: Settings) -> Schemas:
    """The registry that the settings name, or nobody."""
    return registry_of(settings) or NONE


def registry_of(settings: Settings) -> SchemaRegistry | None:
    """The registry that the settings name."""
    if not settings.registry.url:
        return None
    return SchemaRegistry(settings.registry.url, SystemClock(), **settings.registry.client_kwargs())
