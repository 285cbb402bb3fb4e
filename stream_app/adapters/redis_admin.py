"""redis-py: the client of every role but the predictor, and a look at the view's server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import redis

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.redis_faults import check_mode, why
from stream_app.errors import Unreachable

FIX = "Start it (`stream-app services up`), or correct STREAM_APP_REDIS__… (URL, TLS, credentials)"


class RedisFacts(msgspec.Struct):
    """A server as it answered; `skew_ms`: its clock minus ours, true to half the round trip and 1 ms."""

    version: str
    eviction: str
    role: str
    round_trip_ms: float
    skew_ms: float


def client_for(url: str, client: Mapping[str, Any]) -> redis.Redis:
    """Make a client; it connects at the first call."""
    return redis.Redis.from_url(url, **client)


def redis_facts(url: str, client: Mapping[str, Any]) -> RedisFacts:
    """Ask a server once.

    Raises:
        Unreachable: it cannot be reached, or does not let us in; the URL's credentials are not shown.
        Refused: it is a cluster or a Sentinel.
    """
    clock = SystemClock()
    try:
        with client_for(url, {**client, "decode_responses": True}) as server:
            server.ping()
            info = server.info("server")
            check_mode(info)
            before_ms, started_s = clock.now_ms(), clock.monotonic()
            seconds, micros = server.time()
            round_trip_ms = (clock.monotonic() - started_s) * 1000
            eviction = server.info("memory").get("maxmemory_policy", "")
            role = server.info("replication").get("role", "")
    except (redis.RedisError, ValueError, OSError) as error:
        raise Unreachable(f"Redis {why(error)}", FIX) from None
    version = info.get("valkey_version") or info.get("redis_version", "")
    skew_ms = seconds * 1000 + micros / 1000 - (before_ms + round_trip_ms / 2)
    return RedisFacts(str(version), str(eviction), str(role), round_trip_ms, skew_ms)


def check_server(url: str, client: Mapping[str, Any]) -> None:
    """Look whether this server can hold the view at all; one that may not be asked for INFO passes.

    Raises:
        Unreachable: it does not answer, or does not let us in.
        Refused: it is a cluster or a Sentinel.
    """
    try:
        with client_for(url, {**client, "decode_responses": True}) as server:
            server.ping()
            check_mode(server.info("server"))
    except redis.exceptions.NoPermissionError:
        return
    except (redis.RedisError, ValueError, OSError) as error:
        raise Unreachable(f"Redis {why(error)}", FIX) from None
