"""What a writer of a shard checks before it goes on: that its journal holds all that was committed."""

from __future__ import annotations

from collections.abc import Generator

from stream_app.errors import Halted
from stream_app.learner.batch import journal
from stream_app.learner.batch.journal import JournalRecord
from stream_app.ports import Positions, ReplaySource
from topics.envelope import EVENT
from topics.journal import AttemptRecord, BatchRecord, EpochRecord

FIRST_LOOK_BACK = 8  # offsets before a record, eight times as many at each further look


class Forked(Halted):
    """An epoch record that does not continue the batch before it."""


def positions_after(record: JournalRecord) -> Positions:
    """The positions of the inputs after a journal record."""
    if isinstance(record, BatchRecord):
        return [end for _, end, _ in record.inputs.values()]
    return journal.by_rank(record.positions)


def check_continued(seq: int, digest: str, ended: Positions, epoch: EpochRecord, offset: int) -> None:
    """Whether an epoch begins where the journal ended before it; past that only where it names what is lost.

    Raises:
        Forked: it was prepared from an older end of the journal, and a learner has committed since.
    """
    begins = journal.by_rank(epoch.positions)
    moved = any(start < end for start, end in zip(begins, ended, strict=True))
    moved |= begins != ended and not epoch.given_up
    if moved or (epoch.seq, epoch.digest) != (seq, digest):
        raise Forked(
            f"epoch {epoch.epoch} at journal offset {offset} begins at seq {epoch.seq} at {begins} and does "
            f"not continue the record before it, seq {seq} at {ended}: a learner committed while an upgrade "
            "was prepared",
            "Stop every learner and run `stream-app upgrade MODULE:APP`: it goes on after the newest batch",
        )


def check_entered(source: ReplaySource, epoch: EpochRecord, offset: int) -> Generator[bool, None, None]:
    """Check an epoch record at `offset` against the newest batch before it, where that is still retained.

    Epochs in between are upgrades that were cut off; one of them that continues the journal may have skipped
    what is lost.

    Raises:
        Forked: the epoch does not continue the journal.
    """
    reach = FIRST_LOOK_BACK
    while True:
        start = max(0, offset - reach)
        since: list[BatchRecord | EpochRecord] = []
        try:
            for entry in source.journal(start):
                if entry is None:
                    yield False
                    continue
                if entry.offset >= offset:
                    break
                record = journal.read(entry.value, entry.offset)
                if not isinstance(record, AttemptRecord):
                    since = [record] if isinstance(record, BatchRecord) else [*since, record]
        except Halted:  # the journal is no longer retained so far back, or a record is damaged
            return
        if since and (start == 0 or isinstance(since[0], BatchRecord)):
            break
        if start == 0:
            return
        reach *= 8
    before = since[0]
    for record in since[1:]:
        if isinstance(record, EpochRecord) and continues(before, record, offset):
            before = record
    check_continued(before.seq, before.digest, positions_after(before), epoch, offset)


def continues(before: BatchRecord | EpochRecord, epoch: EpochRecord, offset: int) -> bool:
    """Whether an epoch begins where the record before it ended."""
    try:
        check_continued(before.seq, before.digest, positions_after(before), epoch, offset)
    except Forked:
        return False
    return True


def check_predicted(shard: int, predicted: int | None, positions: Positions) -> None:
    """Whether the journal reaches as far as the predictions do: else some events would be answered twice.

    Raises:
        Halted: batches were committed that this journal does not hold.
    """
    if predicted is not None and predicted >= positions[EVENT]:
        raise Halted(
            f"shard {shard}: its predictions reach event {predicted} and its journal ends before event "
            f"{positions[EVENT]}: committed batches are missing from the journal",
            "Restore the journal topic, or run `stream-app upgrade MODULE:APP`: it goes on after the newest "
            "prediction, so that no event is answered twice",
        )


def refuse_lost_journal(shard: int, committed: list[int | None], predicted: int | None) -> None:
    """Committed offsets or predictions without a journal: its topic was emptied or created again."""
    if predicted is not None or any(position is not None and position > 0 for position in committed):
        answered = "" if predicted is None else f" and predictions up to event {predicted}"
        raise Halted(
            f"shard {shard} has committed offsets {committed}{answered} but its journal is empty",
            "Restore the journal topic, or start the application under a new name",
        )
