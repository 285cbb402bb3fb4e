"""The embedded servers, started for real."""

from __future__ import annotations

import redis
from kafka import KafkaAdminClient

from stream_app.embedded.services import Endpoints


def test_both_servers_answer(services: Endpoints) -> None:
    """What `up` returned are the addresses of servers that answer."""
    admin = KafkaAdminClient(bootstrap_servers=services.bootstrap_servers)
    assert admin.describe_cluster()["brokers"]
    admin.close()
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.ping()
