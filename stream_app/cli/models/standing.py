"""Where each model of each shard stands, as the log shows now."""

from __future__ import annotations

import msgspec

from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.application import Application
from stream_app.inspect.model_status import Shard, ShardReceipts, shard_of
from stream_app.inspect.receipts import newest_receipts
from stream_app.inspect.tail_reader import TailReader
from stream_app.settings import Settings
from topics.catalog import Catalog
from topics.records import Stats

STATS = msgspec.json.Decoder(Stats)


def shards(app: Application, settings: Settings, topics: Catalog) -> list[Shard]:
    """All shards in order.

    Raises:
        Refused: no broker answers, or a topic is missing or cannot be used.
    """
    kafka = settings.kafka.kafka_python()
    with TopicAdmin(kafka) as admin:
        admin.require((topics.models, topics.stats))
    # Statistics first: receipts are then never older, and what they say later wins.
    with TailReader(kafka, [topics.stats.name]) as peek:
        newest = peek.newest(topics.stats.name, app.shards)
    receipts = newest_receipts(app.name, kafka)
    return [
        shard_of(
            receipts.get(number, ShardReceipts(number)),
            STATS.decode(newest[number].value) if number in newest else None,
        )
        for number in range(app.shards)
    ]
