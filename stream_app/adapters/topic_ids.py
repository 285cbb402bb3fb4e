"""confluent-kafka: the ids that brokers give topics, by which one that was created again is told apart."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from stream_app.errors import ShardFailed


def topic_ids(admin: AdminClient, topics: Sequence[str], timeout_s: float) -> dict[str, str]:
    """Read the ids of topics that exist. Old brokers give none.

    Raises:
        ShardFailed: the broker does not say.
    """
    ids: dict[str, str] = {}
    asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=timeout_s)
    for topic, answer in asked.items():
        try:
            found = answer.result().topic_id
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise ShardFailed(f"{topic}: its id cannot be read ({error})") from error
        high, low = found.get_most_significant_bits(), found.get_least_significant_bits()
        if high or low:
            ids[topic] = str(UUID(int=(high << 64) % (1 << 128) + low % (1 << 64)))
    return ids
