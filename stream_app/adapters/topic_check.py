"""What of a topic is not as declared, and whether that can break a promise; no client is asked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stream_app.adapters.codecs import CODECS, unread
from topics.catalog import DAY_MS
from topics.specs import TopicSpec

SHORTEST_RETENTION_MS = DAY_MS  # a learner that was away for a night must find its records
CONFIGURE = "Run `stream-app topics configure MODULE:APP`, which sets it as declared"


class Mismatch(msgspec.Struct):
    """One difference between a topic and its declaration; `grave` ones stop a learner."""

    topic: str
    what: str
    fix: str
    grave: bool


def differences(spec: TopicSpec, described: Mapping[str, Any], config: Mapping[str, str]) -> list[Mismatch]:
    """What of one existing topic is not as declared."""
    found = []
    partitions = described["partitions"]
    if len(partitions) != spec.partitions:
        what = f"has {len(partitions)} partitions, the definition says {spec.partitions}"
        fix = "Set shards= back, since keys would move to other shards; another count needs another name="
        found.append(Mismatch(spec.name, what, fix, grave=True))
    replicas = min((len(partition["replica_nodes"]) for partition in partitions), default=0)
    if replicas < spec.replication:
        what = f"has {replicas} replicas, the settings say {spec.replication}"
        fix = f"Reassign it (kafka-reassign-partitions), or set STREAM_APP_KAFKA__REPLICATION={replicas}"
        found.append(Mismatch(spec.name, what, fix, grave=False))
    for name, wanted in spec.config.items():
        actual = config.get(name)
        if actual != wanted:
            what, grave = f"{name} is {actual}, declared is {wanted}", endangers(name, wanted, actual)
            found.append(Mismatch(spec.name, what, CONFIGURE, grave=grave))
    codec = config.get("compression.type", "")
    for client, fix in unread(codec) if codec in CODECS else ():
        what = f"compression.type is {codec}, which {client} cannot read in this environment"
        found.append(Mismatch(spec.name, what, fix, grave=False))
    return found


def input_faults(name: str, described: Mapping[str, Any] | None, config: Mapping[str, str]) -> list[Mismatch]:
    """What of a topic that `inputs=` names can keep records from being bridged; it is not ours to change."""
    if described is None:
        return [
            Mismatch(
                name,
                "is missing",
                "Correct its name in inputs=, create it, or let this user describe it",
                grave=True,
            )
        ]
    found = []
    kept_ms = int(config.get("retention.ms", "-1"))
    if 0 <= kept_ms < SHORTEST_RETENTION_MS:
        what = f"keeps records for {kept_ms / 3_600_000:g} h; a bridge that stands for longer loses some"
        found.append(Mismatch(name, what, f"Raise retention.ms of {name} to a day or more", grave=False))
    if "compact" in config.get("cleanup.policy", ""):
        what = "is compacted: of records with one key the broker may delete all but the newest unread"
        found.append(Mismatch(name, what, "Raise min.compaction.lag.ms, or read another topic", grave=False))
    codec = config.get("compression.type", "")
    for client, fix in unread(codec) if codec in CODECS else ():
        what = f"compression.type is {codec}, which {client} cannot read in this environment"
        found.append(Mismatch(name, what, fix, grave=False))
    return found


def output_faults(name: str, *, exists: bool) -> list[Mismatch]:
    """What of a topic that `outputs=` names keeps predictions from being copied."""
    fix = "Correct its name in outputs=, or create it"
    return [] if exists else [Mismatch(name, "is missing", fix, grave=True)]


def endangers(name: str, wanted: str, actual: str | None) -> bool:
    """Whether another setting than the declared one can break a promise, and not only cost history.

    A compacted log loses records, one that is kept for a moment loses them unread, and a stamp far ahead
    drags log time with it: everything after it is late. None: the broker does not know the setting.
    """
    if actual is None:
        return False
    if name == "cleanup.policy":
        return wanted == "delete" and "compact" in actual
    if name == "retention.ms":
        return wanted == "-1" and 0 <= int(actual) < SHORTEST_RETENTION_MS
    return name == "message.timestamp.after.max.ms" and int(actual) > int(wanted)
