"""A version of a model as it was: in a snapshot, or by a replay up to the record with which it ended.

A slot that is retired is never touched again, so a replay that holds on to it has its last state, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from stream_app.errors import Refused
from stream_app.learner.batch import journal
from stream_app.learner.batch.merge import Run
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.as_of import Moment, state_as_of
from stream_app.learner.history.journal_search import end_of_epoch
from stream_app.learner.history.past import Past
from stream_app.learner.history.verify import drain, replayable
from stream_app.learner.recovery.fingerprint import changes
from stream_app.learner.recovery.guards import Forked
from stream_app.learner.recovery.recover import confirmed, first_entry, fresh, resumed
from stream_app.learner.recovery.replay import replay
from stream_app.learner.recovery.snapshots import restore
from stream_app.ports import ReplaySource
from stream_app.state.slot import Slot
from topics.batch_id import BatchId
from topics.journal import EpochRecord

REMEDY = (
    "Name a moment that is retained with --as-of OFFSET; `stream-app verify MODULE:APP` says where replays "
    "begin, STREAM_APP_SNAPSHOTS__VERSIONS how many snapshots stay for versions that end"
)
THEN = (
    "Run this with the definition and the libraries of then: check out the release that ran, and name its "
    "definition as MODULE:APP"
)


class Wanted(NamedTuple):
    """Which state of a version.

    `ended` is the batch in which it ended, or, with `served`, in which another one began to serve in its
    place. `offset`: right before that event was predicted. `left_behind`: an upgrade ended it without a
    receipt. Neither: the newest committed batch.
    """

    version: int
    ended: BatchId | None = None
    served: bool = False
    offset: int | None = None
    left_behind: bool = False

    @property
    def moment(self) -> str:
        """Name the moment: ended, served, offset or newest."""
        if self.offset is not None:
            return "offset"
        if self.left_behind:
            return "ended"
        return "newest" if self.ended is None else "served" if self.served else "ended"


class VersionFound(NamedTuple):
    """A version's slot, and the shard at that moment; `fingerprint` is the one of its epoch."""

    slot: Slot
    processor: BatchProcessor
    fingerprint: Mapping[str, Any]


class Ended(Exception):
    """The record in hand ended the version."""


def find_version(past: Past, wanted: Wanted) -> VersionFound:
    """Give a version as it was.

    Raises:
        Refused: what is retained does not reach that moment, or the version did not live then.
        Halted: the replay differs from the journal.
    """
    if wanted.left_behind and wanted.offset is None:
        return left_behind(past, wanted.version)
    if wanted.ended is not None and wanted.offset is None:
        return up_to_the_end(past, wanted.version, wanted.ended, served=wanted.served)
    found = state_as_of(past, Moment(offset=wanted.offset))
    slot = found.processor.core.state.slot_of(wanted.version)
    if slot is None:
        living = ", ".join(f"{one.name} v{one.version}" for one in found.processor.core.state.slots)
        when = "at the journal's end" if found.following is None else f"before event {wanted.offset:,}"
        raise Refused(
            f"shard {past.shard} had no version {wanted.version} {when}; it had {living}",
            "Name another moment; `stream-app models why MODULE:APP --version V` says when it lived",
        )
    return VersionFound(slot, found.processor, past.fingerprint)


def up_to_the_end(past: Past, version: int, ended: BatchId, *, served: bool) -> VersionFound:
    """Replay the batch in which a version ended, or stopped serving, up to that record."""
    processor, offset, prints = start_of(past, ended.epoch, ended.seq)
    slot = hold(past, processor, offset, version, ended.seq, served=served)
    if slot is None:
        raise Refused(
            f"shard {past.shard}: no state of version {version} can be had: one record made it and ended it",
            "Ask for another version; `stream-app models ls MODULE:APP --all` lists them",
        )
    return VersionFound(slot, processor, prints)


def hold(
    past: Past, processor: BatchProcessor, offset: int, version: int, until_seq: int, *, served: bool = False
) -> Slot | None:
    """Replay behind a journal offset, record by record, until a version has ended, at most to a batch.

    Gives its slot as it was last; None if it never lived. `served`: until it serves no more.
    """
    state = processor.core.state
    slot = state.slot_of(version)

    def apply(runs: list[Run]) -> None:
        nonlocal slot
        for rank, records in runs:
            for record in records:
                serving = state.champion_version == version
                processor.apply([(rank, [record])])
                living = state.slot_of(version)
                slot = living or slot
                replaced = served and serving and state.champion_version != version
                if processor.seq == until_seq - 1 and (replaced or (slot is not None and living is None)):
                    raise Ended

    with suppress(Ended):
        drain(replay(processor, past.source, offset + 1, past.clock, past.on_batch, until_seq, apply))
    return slot


def start_of(past: Past, epoch: int, seq: int) -> tuple[BatchProcessor, int, Mapping[str, Any]]:
    """The newest state of an epoch before a batch, its place in the journal, and the epoch's fingerprint.

    Raises:
        Refused: none is retained, or this process is not the one that the epoch was recorded with.
    """
    kept = past.source.earliest()
    for header, load in past.store.load():  # newest first: the fewest batches to replay
        if header["epoch"] != epoch or header["seq"] >= seq:
            continue
        if not replayable(header["positions"], kept) or not is_confirmed(past.source, header):
            continue
        check_same(past, epoch, header["fingerprint"])
        return loaded(past, header, load), header["journal_offset"], header["fingerprint"]
    first = drain(first_entry(past.source, -1))
    if first is not None and isinstance(first[1], EpochRecord) and first[1].epoch == epoch == 0:
        offset, begun = first[0], first[1]
        if replayable(journal.by_rank(begun.positions), kept):
            check_same(past, epoch, begun.fingerprint)
            return fresh(past.app, past.shard, begun, past.topics, past.store), offset, begun.fingerprint
    raise Refused(
        f"shard {past.shard}: nothing is retained from which batch {BatchId(epoch, seq)} could be replayed",
        REMEDY,
    )


def is_confirmed(source: ReplaySource, header: dict[str, Any]) -> bool:
    """Whether the journal confirms a snapshot; one of an epoch that does not continue it never counts."""
    try:
        return drain(confirmed(source, header))
    except Forked:
        return False


def loaded(past: Past, header: dict[str, Any], load: Callable[[], Any]) -> BatchProcessor:
    """The shard as a snapshot holds it.

    Raises:
        Refused: it cannot be loaded here, or its models answer otherwise.
    """
    try:
        state = restore(past.app, header, load)
    except Exception as error:
        batch = BatchId(header["epoch"], header["seq"])
        raise Refused(
            f"shard {past.shard}: the snapshot of batch {batch} is of no use here: {error}", THEN
        ) from error
    return resumed(past.app, header, state, past.topics, past.store)


def check_same(past: Past, epoch: int, recorded: Mapping[str, Any]) -> None:
    """Refuse a replay by another definition, library or platform than those of the epoch.

    Raises:
        Refused: what differs.
    """
    differing = list(changes(recorded, past.fingerprint))
    if differing:
        raise Refused(
            f"shard {past.shard}: epoch {epoch} was recorded with something else: {', '.join(differing)}",
            THEN,
        )


def left_behind(past: Past, version: int) -> VersionFound:
    """A version that an upgrade ended: as it was at the end of the last epoch that had it.

    A snapshot of that very batch is enough; else the epoch is replayed to its end.

    Raises:
        Refused: no snapshot that is retained holds it, or the replay is refused.
    """
    kept = past.source.earliest()
    for header, load in past.store.load():
        if version not in header.get("versions", (version,)) or not is_confirmed(past.source, header):
            continue
        end = end_of_epoch(past.source, header["epoch"], header["seq"], header["journal_offset"])
        if header["seq"] != end:
            if not replayable(header["positions"], kept):
                continue
            check_same(past, header["epoch"], header["fingerprint"])
        processor = loaded(past, header, load)
        if (slot := processor.core.state.slot_of(version)) is None:
            continue
        if header["seq"] != end:
            slot = hold(past, processor, header["journal_offset"], version, end) or slot
        return VersionFound(slot, processor, header["fingerprint"])
    raise Refused(
        f"shard {past.shard}: an upgrade left version {version} behind, and no retained snapshot holds it",
        REMEDY,
    )
