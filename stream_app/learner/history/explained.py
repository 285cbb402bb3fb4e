"""Why a served prediction was what it was: the event is predicted again by the shard as it was then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.flow.core import Core
from stream_app.flow.observer import Observer
from stream_app.flow.served import PredictionMade
from stream_app.learner.history.as_of import Moment, state_as_of
from stream_app.learner.history.hearing import hear
from stream_app.learner.history.past import Past
from stream_app.learner.publish.publication import publish
from stream_app.models.calls import reply
from stream_app.models.explanations.report import report
from stream_app.state.published import Published, bind_published, explain_published


class Explained(NamedTuple):
    """A prediction as it was served, the row that the models saw, and the report; None while it was cold."""

    made: PredictionMade
    row: dict[str, Any]
    explanation: dict[str, Any] | None


def explain_event(past: Past, offset: int, most: int) -> Explained:
    """Replay to the event at an offset, and explain what it is answered by copies of the models.

    Raises:
        Refused: nothing before it is retained, or no event there was predicted.
        Halted: the replay differs from the journal.
    """
    app, shard = past.app, past.shard
    processor, record = state_as_of(past, Moment(offset=offset))
    if record is None or record.offset != offset:
        raise Refused(
            f"shard {shard} has no event at offset {offset:,}",
            "Name one that was predicted: its prediction holds `shard` and `offset`",
        )
    asking = Asking(app, processor.core, most, lambda: publish(app, processor), past.store.round_trip)
    made: list[PredictionMade] = []
    hear(processor, PredictionMade, made.append)
    processor.core.observer = asking
    processor.apply([(record.rank, [record])])
    if not made:
        raise Refused(
            f"the event at offset {offset:,} of shard {shard} was not predicted: it was refused, or a repeat",
            "Look at `stream-app dlq ls MODULE:APP`",
        )
    return Explained(made[0], asking.row, asking.report)


class Asking(Observer):
    """Explains the next row that is asked about, with copies: the answer itself is the models' own."""

    def __init__(
        self,
        app: Application,
        core: Core,
        most: int,
        published: Callable[[], Published],
        copy: Callable[[Any], Any],
    ) -> None:
        self.app, self.core, self.most, self.published, self.copy = app, core, most, published, copy
        self.row: dict[str, Any] = {}
        self.report: dict[str, Any] | None = None

    def asked(self, event_id: str, row: dict[str, Any]) -> None:  # noqa: ARG002
        """Explain the answer that the models are about to give."""
        self.row = dict(row)
        copy: Published = self.copy(self.published())
        if copy.cold:
            return
        answer = reply(bind_published(copy, self.app.question), self.row)
        found = explain_published(copy, self.row, self.app.question, answer)
        if found is not None:
            names = self.core.windows.names
            self.report = report(found, self.row, copy.usual, names, self.most)
