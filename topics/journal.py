"""What a shard's journal is made of: each record continues the one before it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from topics.records import Version

RefilledSets = Literal["champion", "models"]


class BatchRecord(msgspec.Struct, tag="batch", tag_field="type"):
    """One committed batch: per input [from, to, n]; `to` is the consumer position, n the data records.

    `order` packs the run-lengths in which the inputs were applied, `digest` chains over all that came out.
    `crashed` names by input the offsets that became dead letters without being read: a replay skips them.
    `settled`: at the end of the batch the sets of the champion, or of all models, were filled again (ADR 19).
    """

    epoch: int
    seq: int
    inputs: dict[str, tuple[int, int, int]]
    order: str
    log_time: int
    digest: str
    decisions: list[dict[str, Any]]
    crashed: dict[str, list[int]] | UnsetType = UNSET
    v: Version = 1
    settled: RefilledSets | UnsetType = UNSET


class AttemptRecord(msgspec.Struct, tag="attempt", tag_field="type"):
    """What is about to be tried after batch `seq`: committed before it is, so that a crash leaves a trace.

    `record`, [input, offset], is tried alone, for the `attempt`th time; null: all are tried together. So many
    `records` from here on may be at fault. A replay passes it by.
    """

    epoch: int
    seq: int
    digest: str
    attempt: int
    positions: dict[str, int]
    records: int
    record: tuple[str, int] | None
    v: Version = 1


class EpochRecord(msgspec.Struct, tag="epoch", tag_field="type"):
    """The start of an epoch: who may append to the journal. Digests are compared within one epoch only.

    It continues the record before it: the same seq, digest and positions. `given_up` says in words what an
    operator gave up to open it; only then its positions may be further.
    """

    epoch: int
    seq: int
    fingerprint: dict[str, Any]
    positions: dict[str, int]
    digest: str
    carried: list[str]
    given_up: list[str] = []
    v: Version = 1
