"""The first rows that an application's topic holds: what admission tries where its own sample will not do."""

from __future__ import annotations

from typing import Any

from stream_app.application import Application
from stream_app.settings import Settings

MOST = 50


def first_rows(app: Application, settings: Settings) -> list[dict[str, Any]]:
    """Feature rows of the oldest events, with 1 for each of an entity's features; empty where there are none.

    Raises:
        Refused: no broker answers.
    """
    from stream_app.inspect.tail_reader import TailReader
    from stream_app.wiring.topics import catalog_for
    from topics.codec import Rejected, decode_event

    topic = catalog_for(app, settings).events.name
    derived = {feature.name: 1.0 for feature in app.features}
    with TailReader(settings.kafka.kafka_python(), [topic]) as peek:
        records = peek.oldest(topic, app.shards, MOST)
    found = [decode_event(record.value) for record in records[:MOST]]
    return [derived | event.features for event in found if not isinstance(event, Rejected)]
