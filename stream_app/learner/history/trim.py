"""The beginning of a journal that no replay can use: its inputs are deleted, and no snapshot needs it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from stream_app.errors import Refused
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.history.tail import BEFORE_ALL, Tail, read_tail
from stream_app.learner.recovery.guards import Forked
from stream_app.learner.recovery.recover import confirmed, first_entry
from stream_app.ports import ReplaySource
from topics.journal import EpochRecord

KEPT = 3  # of the newest snapshots that the journal confirms


def trim_offset(
    shard: int, source: ReplaySource, headers: Iterable[Mapping[str, Any]]
) -> Generator[bool, None, int]:
    """Find the journal offset before which nothing is needed.

    `headers` are those of the shard's snapshots, newest first. A snapshot needs the journal from its batch
    on. Batches whose inputs are all retained are kept too: an upgrade from the log replays them.

    Raises:
        Refused: the journal confirms no snapshot, so its beginning may be all that there is.
        Halted: the newest record of the journal cannot be read.
    """
    needed: list[int] = []
    for header in headers:
        try:
            if (yield from confirmed(source, dict(header))):
                needed.append(header["journal_offset"])
        except Forked:
            continue
        if len(needed) == KEPT:
            break
    if not needed:
        raise Refused(
            f"the journal of shard {shard} confirms no snapshot, so nothing of it can be deleted",
            "Run a learner until it has saved one (`stream-app status MODULE:APP`), or restore the snapshots",
        )
    tail = yield from read_tail(source, Tail(BEFORE_ALL, 0, -1, FIRST_DIGEST, [], {}))
    first = yield from first_entry(source, -1)
    if first is not None and isinstance(first[1], EpochRecord) and tail.replayable_seq == tail.first:
        return first[0]  # it can be replayed from its very beginning
    if tail.replayable_offset >= 0:
        needed.append(tail.replayable_offset)
    return min(needed)
