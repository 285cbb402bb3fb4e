"""Whether this process may go on from where the journal is entered, and what explains it if it may not."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from stream_app.errors import Halted
from stream_app.learner.batch import journal
from stream_app.learner.recovery.fingerprint import changes, check_fingerprint
from stream_app.learner.recovery.replay import MORE, WAITING
from stream_app.ports import ReplaySource
from topics.journal import BatchRecord, EpochRecord

SCANNED = 1_000  # journal records that are searched before others have a turn


def check_start(
    source: ReplaySource, shard: int, recorded: dict[str, Any], fingerprint: dict[str, Any], offset: int
) -> Generator[bool, None, None]:
    """Whether this process may go on from journal offset `offset`, which `recorded` wrote.

    Only where it may not, the journal is searched: a later epoch in it explains why the two differ.

    Raises:
        Halted: the snapshots of a later epoch are not there, or an input topic is another one.
        Refused: another definition, library or platform: upgrade.
    """
    if any(changes(recorded, fingerprint)):
        yield from refuse_lost_epoch(source, shard, offset)
    check_fingerprint(recorded, fingerprint)


def refuse_lost_epoch(source: ReplaySource, shard: int, offset: int) -> Generator[bool, None, None]:
    """Halt if an epoch begins after `offset`: none of its snapshots was found, so an older start was."""
    epoch, batches = 0, False
    for number, entry in enumerate(source.journal(offset + 1), 1):
        if entry is None:
            yield WAITING
            continue
        record = journal.read(entry.value, entry.offset)
        epoch = max(epoch, record.epoch if isinstance(record, EpochRecord) else 0)
        batches |= isinstance(record, BatchRecord)
        if number % SCANNED == 0:  # not its offset: control records take up every second one
            yield MORE
    if not epoch:
        return
    remedy = (
        "Restore the snapshot directory; `snapshot passed over` in the log names unusable ones. Or run "
        "`stream-app upgrade MODULE:APP`: "
    )
    remedy += "it names what is lost" if batches else "an upgrade was cut off, and nothing is lost"
    raise Halted(
        f"shard {shard}: the snapshots of epoch {epoch} are missing, and nothing else leads into it", remedy
    )
