"""What every command needs first: the application, the settings, and the embedded services where none are named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.settings import Settings, load_settings


def settings_for(*, kafka: bool = True, redis: bool = False, directory: Path | None = None) -> Settings:
    """Settings with the embedded services filled in where no server is named.

    Raises:
        Refused: no server is named and none of ours runs.
    """
    settings = load_settings()
    wants_kafka = kafka and not settings.kafka.bootstrap_servers
    wants_redis = redis and not settings.redis.url.get_secret_value()
    if not wants_kafka and not wants_redis and settings.signing.keys:
        return settings
    from stream_app.embedded import services

    found = services.running(directory)
    if found is None:
        if not wants_kafka and not wants_redis:
            return settings
        missing = "Kafka broker" if wants_kafka else "Redis server"
        variable = "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS" if wants_kafka else "STREAM_APP_REDIS__URL"
        raise Refused(
            f"no {missing} is named and no embedded one runs", f"Run `stream-app services up`, or set {variable}"
        )
    if wants_kafka:
        settings.kafka.bootstrap_servers = found.bootstrap_servers
    if wants_redis:
        settings.redis.url = SecretStr(found.redis_url)
    if not settings.signing.keys:
        settings.signing.keys = [SecretStr(found.signing_key)]
    if not settings.snapshots.url:
        settings.snapshots.url = str(found.directory / "snapshots")
    return settings


def load_app(target: str) -> Application:
    """The definition `module:attr` or `path.py:attr`, with the working directory importable."""
    from stream_app.adapters.definition import load

    return load(target)


def pin() -> None:
    """Re-execute with PYTHONHASHSEED=0 unless that holds: hash order changes bits of some models at each start."""
    from stream_app.adapters.definition import pin_hash_seed

    pin_hash_seed()


def print_json(value: Any) -> None:
    """One JSON object per line on stdout; everything for people goes to stderr."""
    import orjson

    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS) + b"\n")
    sys.stdout.buffer.flush()
