"""An application's topics under the settings, apart from the clients, so that commands start quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topics.catalog import Catalog, catalog

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.settings import Settings


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
