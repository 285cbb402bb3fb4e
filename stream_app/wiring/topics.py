"""An application's topics under the settings, apart from the clients, so that commands start quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topics.catalog import Catalog, bridge_topic, catalog, retries_topic

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.settings import Settings
    from topics.specs import TopicSpec


def catalog_for(app: Application, settings: Settings) -> Catalog:
    """The application's topics under the settings' replication and retention."""
    kafka = settings.kafka
    return catalog(
        app.name,
        app.shards,
        replication=kafka.replication,
        min_insync=kafka.min_insync,
        input_retention_bytes=kafka.input_retention_bytes,
    )


def all_topics(app: Application, settings: Settings) -> list[TopicSpec]:
    """Every topic of the application's own: the nine, and the bridge's two where there is a bridge."""
    kafka = settings.kafka
    topics = [*catalog_for(app, settings)]
    if app.is_bridged:
        durable = {"replication": kafka.replication, "min_insync": kafka.min_insync}
        topics += [spec(app.name, **durable) for spec in (bridge_topic, retries_topic)]
    return topics
