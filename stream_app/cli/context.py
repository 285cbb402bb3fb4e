"""What every command needs first: application, settings, and the embedded services where none are named."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import SecretStr

from stream_app.errors import Unreachable, UsageError
from stream_app.settings import Settings, load_settings

if TYPE_CHECKING:
    from stream_app.application import Application


def settings_for(
    *, kafka: bool = True, redis: bool = False, directory: Path | None = None, **overrides: Any
) -> Settings:
    """Settings with the embedded services filled in where no server is named.

    Raises:
        Unreachable: no server is named and none of ours runs.
    """
    # Commands report errors in their own words; the client's log would repeat them ten times.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    settings = load_settings(**overrides)
    no_kafka, no_redis = not settings.kafka.bootstrap_servers, not settings.redis.url.get_secret_value()
    if not no_kafka and not no_redis:
        return settings
    from stream_app.embedded import services

    found = services.running(directory)
    if found is None:
        if (kafka and no_kafka) or (redis and no_redis):
            missing = "Kafka broker" if kafka and no_kafka else "Redis server"
            variable = "KAFKA__BOOTSTRAP_SERVERS" if kafka and no_kafka else "REDIS__URL"
            raise Unreachable(
                f"no {missing} is named and no embedded one runs",
                f"Run `stream-app services up`, or set STREAM_APP_{variable}",
            )
        return settings
    if no_kafka:
        settings.kafka.bootstrap_servers = found.bootstrap_servers
    if no_redis:
        settings.redis.url = SecretStr(found.redis_url)
    if not settings.signing.keys and not settings.signing.public_keys:
        settings.signing.keys = [SecretStr(found.signing_key)]
    if not settings.snapshots.url:
        settings.snapshots.url = str(found.directory / "snapshots")
    return settings


def check_view(settings: Settings) -> None:
    """Refuse a Redis that cannot hold the view; log a warning about one that does not answer now.

    Raises:
        Refused: it is a cluster or a Sentinel.
    """
    from stream_app.adapters.redis_admin import check_server

    try:
        check_server(settings.redis.url.get_secret_value(), settings.redis.client_kwargs())
    except Unreachable as error:
        structlog.get_logger().warning("the view does not answer", why=error.message, fix=error.remedy)


def load_app(target: str, *, models: bool = True) -> Application:
    """Load the definition `module:attr` or `path.py:attr`, with the working directory importable.

    A command that makes no model says `models=False` and starts a second sooner.
    """
    from stream_app.definition.load import load

    return load(target, models=models)


def pin() -> None:
    """Re-execute with PYTHONHASHSEED=0 unless that holds: hash order changes bits of some models."""
    from stream_app.adapters.hash_seed import pin_hash_seed

    pin_hash_seed()


def owner_only() -> None:
    """Let nobody else read what this command writes: it holds features and labels in clear text."""
    os.umask(0o077)


def check_writable(file: Path | None) -> None:
    """Refuse a file, where one is named, that cannot be written, before the work is done for it.

    Raises:
        UsageError: its folder is missing, or it or the folder forbids it.
    """
    if file is None:
        return
    place = file if file.exists() else file.parent
    if file.is_dir() or not file.parent.is_dir() or not os.access(place, os.W_OK):
        raise UsageError(f"{file} cannot be written", "Name a file in a folder that is there")


def print_json(value: Any) -> None:
    """One JSON object per line on stdout; everything for people goes to stderr."""
    import orjson

    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS) + b"\n")
    sys.stdout.buffer.flush()
