"""redis-py: what a check of the view's server wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import redis

from stream_app.adapters.clock import SystemClock
from stream_app.errors import Refused


class RedisFacts(msgspec.Struct):
    """A server as it answered; `skew_ms`: its clock minus ours, true to half the round trip and 1 ms."""

    version: str
    eviction: str
    round_trip_ms: float
    skew_ms: float


def client_for(url: str, client: Mapping[str, Any]) -> redis.Redis:
    """A client; it connects at the first call."""
    return redis.Redis.from_url(url, **client)


def redis_facts(url: str, client: Mapping[str, Any]) -> RedisFacts:
    """Ask a server once.

    Raises:
        Refused: it cannot be reached, or does not let us in; the URL's credentials are not shown.
    """
    clock = SystemClock()
    try:
        with redis.Redis.from_url(url, **{**client, "decode_responses": True}) as server:
            server.ping()
            before_ms, started_s = clock.now_ms(), clock.monotonic()
            seconds, micros = server.time()
            round_trip_ms = (clock.monotonic() - started_s) * 1000
            info = server.info("server")
            eviction = server.info("memory").get("maxmemory_policy", "")
    except (redis.RedisError, ValueError, OSError) as error:
        raise Refused(
            f"Redis does not answer ({type(error).__name__})",
            "Start it (`stream-app services up`), or correct STREAM_APP_REDIS__… (URL, TLS, credentials)",
        ) from None
    version = info.get("valkey_version") or info.get("redis_version", "")
    skew_ms = seconds * 1000 + micros / 1000 - (before_ms + round_trip_ms / 2)
    return RedisFacts(str(version), str(eviction), round_trip_ms, skew_ms)
