"""The journal: what a shard read, in which order, and the digest of what came out (ADR 3)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stream_app.errors import Halted
from stream_app.ports import Positions
from topics.envelope import RANK_NAMES
from topics.journal import AttemptRecord, BatchRecord, EpochRecord

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
