"""What Redis shows of batches that the journal lacks: a broker called them committed and lost them (ADR 4).

What was shown before the fence and is not in the journal afterwards never comes: no older writer can commit
any more. A newer owner's stamp is another one, which stays.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog

from stream_app.learner.batch.processor import BatchProcessor
from stream_app.ports import ModelShelf, View
from topics.batch_id import batch_of

log = structlog.get_logger()


class Shown(NamedTuple):
    """The stamps that Redis showed before the fence; None where there was none."""

    view: str | None
    champion: str | None


def shown_now(view: View, shelf: ModelShelf) -> Shown:
    """Ask for both."""
    return Shown(view.stamp(), shelf.stamp())


def forget_lost(shown: Shown, view: View, shelf: ModelShelf, processor: BatchProcessor) -> None:
    """Let what shows a lost batch count as lost itself; `processor` stands at the journal's end."""
    shard, newest = processor.core.state.shard, processor.batch_id
    batch = batch_of(shown.view)
    if shown.view and (batch > newest or (batch == newest and shown.view != processor.view_stamp)):
        log.warning("the view shows a batch that the journal lacks", shard=shard, batch=shown.view)
        view.forget(shown.view)
    if shown.champion and batch_of(shown.champion) > newest:
        log.warning("a champion is shown that the journal lacks", shard=shard, batch=shown.champion)
        shelf.forget(shown.champion)
