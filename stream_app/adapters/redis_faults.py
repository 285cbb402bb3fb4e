"""Why Redis did not do what it was asked, in words for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from stream_app.errors import Refused

CLUSTER = "runs in cluster mode, which is not supported"
CLUSTER_FIX = "Set STREAM_APP_REDIS__URL to a server that runs without cluster mode"
SENTINEL = "is a Sentinel, which holds no data"
SENTINEL_FIX = "Set STREAM_APP_REDIS__URL to the primary, by a name or a proxy that follows a failover"
REPLICA = "is a replica, which takes no writes"


def why(error: Exception) -> str:
    """What follows the word Redis; a response's own text names commands, and never credentials or values."""
    if isinstance(error, AskError | ClusterError | ClusterCrossSlotError):
        return CLUSTER
    if isinstance(error, ReadOnlyError):
        return REPLICA
    if isinstance(error, AuthenticationError):
        return "refuses the user name or the password"
    if isinstance(error, NoPermissionError):
        return f"refuses this user: {error}"
    if isinstance(error, ResponseError):
        return f"refuses: {error}"
    if isinstance(error, RedisError | OSError):
        return f"does not answer ({type(error).__name__})"
    return f"cannot be asked ({type(error).__name__})"


def check_mode(info: Mapping[str, Any]) -> None:
    """Refuse what one client cannot follow; `info` is the section "server" of INFO, of Redis or of Valkey.

    Raises:
        Refused: a cluster or a Sentinel.
    """
    mode = info.get("server_mode") or info.get("redis_mode")
    if mode == "cluster":
        raise Refused(f"Redis {CLUSTER}", CLUSTER_FIX)
    if mode == "sentinel":
        raise Refused(f"Redis {SENTINEL}", SENTINEL_FIX)
