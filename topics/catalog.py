"""An application's nine topics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from topics.specs import TopicSpec

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
FURTHEST_AHEAD_MS = 600_000  # log time can run ahead of the wall clock by this much at most
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Catalog:
    """Every topic under the attribute that the code uses."""

    events: TopicSpec
    labels: TopicSpec
    commands: TopicSpec
    predictions: TopicSpec
    alerts: TopicSpec
    models: TopicSpec
    stats: TopicSpec
    dead_letters: TopicSpec
    journal: TopicSpec

    def __iter__(self) -> Iterator[TopicSpec]:
        return iter(vars(self).values())


def catalog(
    app_name: str, shards: int, *, replication: int = 1, min_insync: int = 1, input_retention_bytes: int = 100 * GIB
) -> Catalog:
    """The topics of an application; every one has `shards` partitions, so that a shard writes where it reads.

    Inputs and predictions carry event time and are kept by size: retention by time would judge event time, and records
    stamped 30 days ago vanish within two minutes. What is kept by time is stamped by the broker.

    Raises:
        ValueError: the name is no topic prefix.
    """
    if not NAME.fullmatch(app_name):
        raise ValueError(f"application name {app_name!r}: use lower-case letters, digits, _ and -, at most 100")

    def spec(name: str, **config: str) -> TopicSpec:
        given = {key.replace("_", "."): value for key, value in config.items()}
        return TopicSpec(
            f"{app_name}.{name}", shards, replication, {"min.insync.replicas": str(min_insync), **given}
        )

    by_size = {"retention_ms": "-1", "retention_bytes": str(input_retention_bytes), "cleanup_policy": "delete"}
    inputs = {
        **by_size,
        "message_timestamp_type": "CreateTime",
        "message_timestamp_after_max_ms": str(FURTHEST_AHEAD_MS),
        "max_message_bytes": str(MIB),
    }
    week = {"message_timestamp_type": "LogAppendTime", "retention_ms": str(7 * 86_400_000), "cleanup_policy": "delete"}
    return Catalog(
        events=spec("events", **inputs),
        labels=spec("labels", **inputs),
        commands=spec("commands", **inputs),
        predictions=spec("predictions", **by_size, message_timestamp_type="CreateTime"),
        alerts=spec("alerts", **by_size),
        models=spec("models", cleanup_policy="compact"),
        stats=spec("stats", **week),
        dead_letters=spec("dead-letters", **week, max_message_bytes=str(2 * MIB)),
        journal=spec("journal", retention_ms="-1", retention_bytes="-1", cleanup_policy="delete"),
    )
