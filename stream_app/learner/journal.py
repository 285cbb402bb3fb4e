"""The journal: what a shard read, in which order, and the digest of what came out (ADR 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from stream_app.errors import Halted
from stream_app.ports import Positions
from topics.envelope import RANK_NAMES

Settled = Literal["champion", "models"]


class BatchRecord(msgspec.Struct, tag="batch", tag_field="type"):
    """One committed batch: per input [from, to, n]; `to` is the consumer position, n counts data records.

    `settled`: at its end the sets of the champion, or of every model, were laid out as in what was stored.
    """

    epoch: int
    seq: int
    inputs: dict[str, tuple[int, int, int]]
    order: str
    log_time: int
    digest: str
    decisions: list[dict[str, Any]]
    v: Literal[1] = 1
    settled: Settled | msgspec.UnsetType = msgspec.UNSET


class EpochRecord(msgspec.Struct, tag="epoch", tag_field="type"):
    """The start of an epoch: who may append to it. Digests are compared within one epoch only."""

    epoch: int
    seq: int
    fingerprint: dict[str, Any]
    positions: dict[str, int]
    digest: str
    carried: list[str]
    v: Literal[1] = 1


decode: Callable[[bytes], BatchRecord | EpochRecord] = msgspec.json.Decoder(BatchRecord | EpochRecord).decode
encode = msgspec.json.Encoder().encode


def read(value: bytes, offset: int) -> BatchRecord | EpochRecord:
    """Decode one journal record.

    Raises:
        Halted: the record is damaged; the shard must not go on.
    """
    try:
        return decode(value)
    except msgspec.MsgspecError as error:
        raise Halted(
            f"the journal record at offset {offset} cannot be read ({error})",
            "Restore the journal topic from a backup, or start the application under a new name",
        ) from error


def by_name(positions: Positions) -> dict[str, int]:
    """Positions as the journal writes them."""
    return dict(zip(RANK_NAMES, positions, strict=True))


def by_rank(named: dict[str, int]) -> Positions:
    """Positions as the core counts them."""
    return [named[name] for name in RANK_NAMES]
