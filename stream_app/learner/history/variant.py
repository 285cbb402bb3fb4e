"""One machine of a replay, and the account of what it served: scores, alarms, hunts and swaps."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import isnan, nan, sqrt
from typing import Any

import msgspec

from drift.signals import LOSS
from stream_app.flow.observer import Observer
from stream_app.flow.outputs import AlertRaised, Output
from stream_app.flow.served import PredictionMade
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.hearing import hear
from stream_app.state.pending import PendingRow
from stream_app.state.scores import Scores
from topics.envelope import RANK_NAMES, Record

LAST = 4  # the newest fourth of the scored predictions has scores of its own


class Change(msgspec.Struct):
    """A swap or a rollback: at which record of which input, and after how many replayed predictions."""

    type: str
    input: str
    offset: int
    time_ms: int
    after: int
    version: int
    parent: int


class Outcome(msgspec.Struct):
    """One variant of one shard. `alarms` are of the serving model's loss; an operator's swaps count too.

    `scores` are of the predictions as they were served (accuracy, or mae and rmse), `last` of the newest
    fourth of them, `further` the other scores of all (kappa, f1 and log_loss, or r2); `scored` is how many
    of `predictions` got a label.
    """

    shard: int
    variant: str
    source: str
    predictions: int
    scored: int
    alarms: int
    hunts: int
    swaps: int
    rollbacks: int
    scores: dict[str, float]
    last: dict[str, float]
    further: dict[str, float]
    changes: list[Change]


class Variant(Observer):
    """One machine and the account of what it served."""

    def __init__(self, name: str, processor: BatchProcessor) -> None:
        self.name = name
        self.processor = processor
        self.heard: list[Output] = []
        self.scores = Scores(processor.core.state.classify)
        self.losses = array("d")  # by prediction, NaN while there is no label
        self.offsets = array("q")  # by prediction, that of its event
        self.waiting: dict[int, tuple[int, PredictionMade]] = {}  # by event offset: how many came before
        self.came: list[tuple[int, Any]] = []  # labels of the record in hand, with their events' offsets
        self.changes: list[Change] = []
        self.alerts = 0
        self.names = {processor.core.state.serving: True}
        self.hunts_before, self.held_before = processor.core.state.policy.hunt, self.held()
        self.dead_before = dict(processor.core.state.dead_by_reason)
        for kind in (PredictionMade, AlertRaised):
            hear(processor, kind, self.heard.append)
        processor.core.observer = self

    def labelled(self, row: PendingRow, label: Any, *, expired: bool) -> None:  # noqa: ARG002
        """The prediction is scored once the step is over: an event may carry its label."""
        self.came.append((row.offset, label))

    def unlabelled(self, row: PendingRow) -> None:
        """Its prediction stays without a score."""
        self.waiting.pop(row.offset, None)

    def held(self) -> int:
        """Count alarms of models that served which no alert reported: each came too soon after another."""
        quiet = self.processor.core.state.vigil.quiet
        return sum(quiet.get(f"drift {LOSS}/{name}", (0, 0))[1] for name in self.names)

    def account_for(self, record: Record) -> None:
        """Step one record and account for it."""
        self.processor.apply([(record.rank, [record])])
        for output in self.heard:
            if type(output) is PredictionMade:
                if output.prediction is not None and self.processor.core.has_labels:
                    self.waiting[output.offset] = (len(self.losses), output)
                self.losses.append(nan)
                self.offsets.append(output.offset)
            elif type(output) is AlertRaised:
                self.alerted(record, output)
        self.heard.clear()
        for offset, label in self.came:
            waits = self.waiting.pop(offset, None)
            if waits is not None:
                self.score(*waits, label)
        self.came.clear()

    def score(self, place: int, made: PredictionMade, label: Any) -> None:
        """Note the loss of a prediction: 0 or 1, or the absolute error."""
        self.losses[place] = self.scores.update(label, made.prediction, made.probabilities)

    def alerted(self, record: Record, alert: AlertRaised) -> None:
        """Count an alarm, or note a change of the serving model."""
        evidence, serving = alert.evidence, self.processor.core.state.serving
        self.names[serving] = True
        if alert.type == "drift" and evidence["signal"] == LOSS and evidence["name"] in self.names:
            self.alerts += 1 + evidence.get("held_back", 0)
        elif alert.type in ("swap", "rollback"):
            self.changes.append(
                Change(
                    alert.type,
                    RANK_NAMES[record.rank],
                    record.offset,
                    alert.time_ms,
                    len(self.losses),
                    evidence["version"],
                    evidence["parent"],
                )
            )

    def outcome(self, source: str) -> Outcome:
        """Give the result of the replay."""
        state = self.processor.core.state
        scored = [loss for loss in self.losses if not isnan(loss)]
        kinds = [change.type for change in self.changes]
        whole, every = scores(scored, state.classify), self.scores.report()["cumulative"]
        return Outcome(
            state.shard,
            self.name,
            source,
            len(self.losses),
            len(scored),
            self.alerts + self.held() - self.held_before,
            state.policy.hunt - self.hunts_before,
            kinds.count("swap"),
            kinds.count("rollback"),
            whole,
            scores(scored[len(scored) - len(scored) // LAST :], state.classify),
            {name: value for name, value in every.items() if name not in ("n", *whole)},
            self.changes,
        )


def scores(losses: Sequence[float], classify: bool) -> dict[str, float]:
    """Accuracy of 0/1 losses, mae and rmse of absolute errors; nothing of nothing.

    >>> scores([0.0, 1.0], True), scores([1.0, 3.0], False)
    ({'accuracy': 0.5}, {'mae': 2.0, 'rmse': 2.23606797749979})
    """
    n = len(losses)
    if not n:
        return {}
    if classify:
        return {"accuracy": 1 - sum(losses) / n}
    return {"mae": sum(losses) / n, "rmse": sqrt(sum(loss * loss for loss in losses) / n)}
