"""The journal: what a shard read, in which order, and the digest of what came out (ADR 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from stream_app.errors import Halted
from stream_app.ports import Positions
from topics.envelope import RANK_NAMES

Settled = Literal["champion", "models"]


class BatchRecord(msgspec.Struct, tag="batch", tag_field="type"):
    """One committed batch: per input [from, to, n]; `to` is the consumer position, n counts data records.

    `crashed` names by input the offsets that became dead letters without being read: a replay skips them.
    `settled`: at its end the sets of the champion, or of every model, were laid out as in what was stored.
    """

    epoch: int
    seq: int
    inputs: dict[str, tuple[int, int, int]]
    order: str
    log_time: int
    digest: str
    decisions: list[dict[str, Any]]
    crashed: dict[str, list[int]] | UnsetType = UNSET
    v: Literal[1] = 1
    settled: Settled | msgspec.UnsetType = msgspec.UNSET


class EpochRecord(msgspec.Struct, tag="epoch", tag_field="type"):
    """The start of an epoch: who may append to it. Digests are compared within one epoch only.

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
    v: Literal[1] = 1


class AttemptRecord(msgspec.Struct, tag="attempt", tag_field="type"):
    """What is about to be tried after batch `seq`, committed before it is: a trace that a crash leaves.

    `record` is tried alone, for the `attempt`th time; None: all are tried together. `records` from here on
    may be at fault. A replay passes it by.
    """

    epoch: int
    seq: int
    digest: str
    attempt: int
    positions: dict[str, int]
    records: int
    record: tuple[str, int] | None
    v: Literal[1] = 1


JournalRecord = BatchRecord | EpochRecord | AttemptRecord
decode: Callable[[bytes], JournalRecord] = msgspec.json.Decoder(JournalRecord).decode
encode = msgspec.json.Encoder().encode


def read(value: bytes, offset: int) -> JournalRecord:
    """Decode one journal record.

    Raises:
        Halted: the record is damaged; the shard must not go on.
    """
    try:
        return decode(value)
    except msgspec.MsgspecError as error:
        raise Halted(
            f"the journal record at offset {offset} cannot be read ({error})",
            "Restore the journal topic from a backup, or run `stream-app upgrade MODULE:APP --from-log`: "
            "it goes on behind the record",
        ) from error


def by_name(positions: Positions) -> dict[str, int]:
    """Positions as the journal writes them."""
    return dict(zip(RANK_NAMES, positions, strict=True))


def by_rank(named: dict[str, int]) -> Positions:
    """Positions as the core counts them."""
    return [named[name] for name in RANK_NAMES]
