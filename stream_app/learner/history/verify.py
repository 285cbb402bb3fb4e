"""Proof after the fact: replay a shard from two starts; compare every digest, and the states at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import msgspec

from stream_app.errors import Halted, Refused
from stream_app.learner.batch.journal import by_rank
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.past import Past
from stream_app.learner.recovery.journal_start import check_start
from stream_app.learner.recovery.recover import confirmed, first_entry, fresh, resumed
from stream_app.learner.recovery.replay import replay
from stream_app.learner.recovery.snapshots import restore, state_digest
from stream_app.ports import Positions
from topics.journal import EpochRecord

T = TypeVar("T")
Stored = tuple[dict[str, Any], Callable[[], Any]]  # a snapshot's header, and what loads it
PAUSE_S = 0.002


class Verified(msgspec.Struct):
    """One replay: `source` is "earliest" or "snapshot", `start` and `to` are journal seqs."""

    shard: int
    source: str
    start: int
    to: int
    digest: str
    state: str
    equal: bool
    why: str = ""


def verify_shard(past: Past) -> list[Verified]:
    """Replay from the earliest retained point, then from the newest snapshot up to the same seq.

    Raises:
        Refused: the definition or the libraries are not those of the journal.
        Halted: the snapshots of its newest epoch are missing.
    """
    results: list[Verified] = []
    until: int | None = None
    for name, processor, offset in find_starts(past):
        start, why = processor.seq, ""
        try:
            drain(replay(processor, past.source, offset + 1, past.clock, past.on_batch, until))
        except Halted as halted:
            why = halted.message
        until = processor.seq
        state = state_digest(processor.core.state)
        results.append(
            Verified(past.shard, name, start, processor.seq, processor.digest, state, not why, why)
        )
    first = results[0]
    for other in results[1:]:
        if (other.to, other.digest, other.state) != (first.to, first.digest, first.state) and not other.why:
            other.equal, other.why = False, "ends in another state than the replay from the earliest point"
    return results


def find_starts(past: Past) -> list[tuple[str, BatchProcessor, int]]:
    """The earliest start of the newest epoch, and its newest snapshot where there is one.

    A start whose inputs are no longer retained is passed over for a later one.
    """
    source, shard, retained = past.source, past.shard, past.source.earliest()
    newest: Stored | None = None
    oldest: Stored | None = None  # only these two are loaded: each state is as large as the shard's
    for header, load in past.store.load():
        if newest is not None and header["epoch"] != newest[0]["epoch"]:
            break
        if not drain(confirmed(source, header)) or (
            newest is not None and not replayable(header["positions"], retained)
        ):
            continue
        drain(check_start(source, shard, header["fingerprint"], past.fingerprint, header["journal_offset"]))
        oldest = (header, load)
        newest = newest or oldest

    def start(name: str, stored: Stored) -> tuple[str, BatchProcessor, int]:
        header, load = stored
        processor = resumed(past.app, header, restore(past.app, header, load), past.topics, past.store)
        return name, processor, header["journal_offset"]

    first = drain(first_entry(source, -1))
    in_first_epoch = newest is None or newest[0]["epoch"] == 0
    if in_first_epoch and first is not None and isinstance(first[1], EpochRecord) and first[1].epoch == 0:
        offset, begun = first[0], first[1]
        if newest is None or replayable(by_rank(begun.positions), retained):
            drain(check_start(source, shard, begun.fingerprint, past.fingerprint, offset))
            earliest = fresh(past.app, shard, begun, past.topics, past.store)
            return [("earliest", earliest, offset), *([start("snapshot", newest)] if newest else [])]
    if newest is None or oldest is None:
        raise Refused(
            f"shard {shard} has neither a journal from its beginning nor a valid snapshot",
            "Run a learner first, restore the snapshot directory, or `stream-app upgrade … --from-log`",
        )
    return [start("earliest", oldest), *([start("snapshot", newest)] if newest is not oldest else [])]


def replayable(positions: Positions, retained: Positions) -> bool:
    """Whether the inputs from these positions on are all retained."""
    return all(at < 0 or at >= low for at, low in zip(positions, retained, strict=True))


def drain(steps: Generator[bool, None, T]) -> T:
    """Run a generator of the learner to its end, sleeping where it waits."""
    while True:
        try:
            if not next(steps):
                time.sleep(PAUSE_S)
        except StopIteration as done:
            found: T = done.value
            return found
