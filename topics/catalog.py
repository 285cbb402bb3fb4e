"""An application's nine topics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from topics.sizes import BROKER_BYTES, CLIENT_BYTES
from topics.specs import TopicSpec

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")  # no dot: Kafka's metrics confuse `a.b` with `a_b`
FURTHEST_AHEAD_MS = 600_000  # log time can run ahead of the wall clock by this much at most
DAY_MS = 86_400_000
FOREVER_MS = str((1 << 63) - 1)
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

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the input topics by rank: commands, events, labels."""
        return (self.commands.name, self.events.name, self.labels.name)

    def __iter__(self) -> Iterator[TopicSpec]:
        return iter(vars(self).values())


# Retention by time judges event time: records stamped 30 days ago vanish within two minutes. Rolling by time
# judges it too: a history with a record every eight days got a segment, three files, for each of them.
EVENT_TIME = {
    "message.timestamp.type": "CreateTime",
    "retention.ms": "-1",
    "segment.ms": FOREVER_MS,
    "cleanup.policy": "delete",
}
INPUT = {
    **EVENT_TIME,
    "message.timestamp.after.max.ms": str(FURTHEST_AHEAD_MS),
    "max.message.bytes": str(MIB),
}
# Bounded by size alone; the active segment is never deleted, so segments are a fraction of the bound.
STATS = {
    "retention.ms": "-1",
    "retention.bytes": str(64 * MIB),
    "segment.bytes": str(16 * MIB),
    "cleanup.policy": "delete",
}
# Dead letters can hold personal data: gone eight days after their arrival, whatever time their record claims.
DEAD_LETTERS = {
    "message.timestamp.type": "LogAppendTime",
    "retention.ms": str(7 * DAY_MS),
    "segment.ms": str(DAY_MS),
    "cleanup.policy": "delete",
    "max.message.bytes": str(CLIENT_BYTES),  # an input at its bound, and our headers
}
JOURNAL = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}


def bridge_topic(app_name: str, *, replication: int = 1, min_insync: int = 1) -> TopicSpec:
    """The bridge's own topic: keys of events by their ids, and labels that wait; the bridge trims it."""
    config = {**JOURNAL, "min.insync.replicas": str(min_insync), "max.message.bytes": str(CLIENT_BYTES)}
    return TopicSpec(f"{app_name}.bridge", 1, replication, config, "event_id")


def retries_topic(app_name: str, *, replication: int = 1, min_insync: int = 1) -> TopicSpec:
    """Dead letters of the bridge that were sent back; it reads them as records of their topics."""
    config = {**DEAD_LETTERS, "min.insync.replicas": str(min_insync)}
    return TopicSpec(f"{app_name}.retries", 1, replication, config, "the record's own")


def catalog(
    app_name: str,
    shards: int,
    *,
    replication: int = 1,
    min_insync: int = 1,
    input_retention_bytes: int = 100 * GIB,
) -> Catalog:
    """The topics of an application; each has `shards` partitions, so that a shard writes where it reads.

    `input_retention_bytes` is kept of every partition of the inputs, predictions and alerts; -1 keeps all.

    Raises:
        ValueError: the name is not a valid topic prefix, or the numbers contradict each other.

    >>> catalog("phishing", 4).dead_letters.name
    'phishing.dead-letters'
    """
    if not NAME.fullmatch(app_name):
        text = "use lower-case letters, digits, _ and -, a letter or digit first, at most 100 characters"
        raise ValueError(f"application name {app_name!r} is not a valid topic prefix: {text}")
    if shards < 1:
        raise ValueError(f"{shards} shards: give at least 1")
    if min_insync > replication:
        raise ValueError(
            f"min_insync {min_insync} is above replication {replication}, so no write would succeed: lower it"
        )

    def spec(name: str, key: str, config: dict[str, str]) -> TopicSpec:
        always = {"min.insync.replicas": str(min_insync), "max.message.bytes": str(BROKER_BYTES)}
        config = {**always, **config}
        return TopicSpec(f"{app_name}.{name}", shards, replication, config, key)

    kept = {"retention.bytes": str(input_retention_bytes)}
    return Catalog(
        events=spec("events", "the entity", {**INPUT, **kept}),
        labels=spec("labels", "the entity of the label's event", {**INPUT, **kept}),
        commands=spec("commands", "command_id", {**INPUT, **kept}),
        predictions=spec("predictions", "the entity", {**EVENT_TIME, **kept}),
        alerts=spec("alerts", "alert_id", {**EVENT_TIME, **kept}),
        models=spec(
            "models",
            "<shard>/<version>, <shard>/champion, <shard>/command/<id>",
            {"cleanup.policy": "compact"},
        ),
        stats=spec("stats", "the shard", STATS),
        dead_letters=spec("dead-letters", "the refused record's own", DEAD_LETTERS),
        journal=spec("journal", "none", JOURNAL),
    )
