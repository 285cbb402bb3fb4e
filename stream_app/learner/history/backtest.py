"""What a definition would have served: records go through the live step, without servers.

Each shard has the machine that a learner has, so predictions, alarms and swaps are those of a live run over
the same records, to the bit. A prediction counts as it was served, once its label has come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from stream_app.application import Application
from stream_app.flow.served import PredictionMade
from stream_app.learner.history.breakdown import Bin, Breakdown, Slice
from stream_app.learner.history.hearing import FirstRefused
from stream_app.learner.history.lines import LAST_LABEL, SERVED, Line, Storage, lines
from stream_app.learner.history.machine import first_machine
from stream_app.learner.history.variant import Variant
from stream_app.state.pending import PendingRow
from stream_app.state.scores import Scores
from topics.envelope import Record

BATCH = 500  # records
POINTS = 200  # of a learning curve
ENOUGH = 50  # labels: a rolling score of fewer is noise


class Point(msgspec.Struct):
    """Rolling scores by line after so many events of a shard."""

    shard: int
    events: int
    scores: dict[str, float]


class Mark(msgspec.Struct):
    """An alarm of the serving model, a swap or a rollback, after so many events of a shard."""

    shard: int
    events: int
    type: str
    message: str


class Played(msgspec.Struct):
    """A backtest of the definition `target`. `us` is the processor time of one event, with all models,
    monitors and outputs; `first_refused` is the message of the first dead letter of each reason.
    """

    target: str
    app: str
    task: str
    score: str
    events: int
    labels: int
    dead_letters: dict[str, int]
    first_refused: dict[str, str]
    us: float
    alarms: int
    searches: int
    swaps: int
    rollbacks: int
    lines: list[Line]
    curve: list[Point]
    marks: list[Mark]
    calibration: list[Bin] = []
    slices: list[Slice] = []


class Rival(Protocol):
    """A model that is none of the definition's; it answers what the newest one that it made would."""

    scores: Scores

    def ask(self, place: tuple[int, int], row: dict[str, Any]) -> None: ...

    def learn(self, place: tuple[int, int], row: dict[str, Any], label: Any) -> None: ...

    def score(self) -> None: ...


class Beside(NamedTuple):
    """What is looked at beside the scores: columns to slice by, rivals by name, every prediction."""

    columns: Sequence[str] = ()
    rivals: Mapping[str, Rival] = {}
    write: Callable[[PredictionMade, Any], None] | None = None


class Account(Variant):
    """One shard's machine, and what it served."""

    def __init__(
        self, app: Application, shard: int, storage: Storage, breakdown: Breakdown, beside: Beside
    ) -> None:
        super().__init__(SERVED, first_machine(app, shard, storage))
        self.breakdown, self.rivals, self.write = breakdown, list(beside.rivals.values()), beside.write
        self.beside_s = 0.0  # processor time of the rivals, which is not the definition's
        self.curve: list[Point] = []
        self.marks: list[Mark] = []
        self.records = 0
        self.first_refused = FirstRefused(self.processor)

    def asked(self, event_id: str, row: dict[str, Any]) -> None:
        """Ask the rivals, too."""
        super().asked(event_id, row)
        if self.rivals:
            core, started_s = self.processor.core, time.process_time()
            for rival in self.rivals:
                rival.ask((core.state.shard, core.out.record.offset), row)
            self.beside_s += time.process_time() - started_s

    def labelled(self, row: PendingRow, label: Any, *, expired: bool) -> None:
        """Break it down, and let the rivals learn."""
        super().labelled(row, label, expired=expired)
        self.breakdown.add(row, label)
        if self.rivals:
            shard, started_s = self.processor.core.state.shard, time.process_time()
            for rival in self.rivals:
                rival.learn((shard, row.offset), row.row, label)
            self.beside_s += time.process_time() - started_s

    def score(self, place: int, made: PredictionMade, label: Any) -> None:
        """Write what was served and its label, too."""
        super().score(place, made, label)
        if self.write is not None:
            self.write(made, label)

    def alerted(self, record: Record, alert: Any) -> None:
        """Mark it, too."""
        counted = (self.alerts, len(self.changes))
        super().alerted(record, alert)
        if (self.alerts, len(self.changes)) != counted:
            shard = self.processor.core.state.shard
            self.marks.append(Mark(shard, len(self.losses), alert.type, alert.message))

    def step(self, record: Record) -> None:
        """Step one record; close the batch now and then, as a learner does."""
        self.account_for(record)
        self.records += 1
        if self.records % BATCH == 0:
            self.processor.seal()

    def point(self, score: str) -> None:
        """Note the rolling scores."""
        state = self.processor.core.state
        found = {SERVED: self.scores, LAST_LABEL: state.baseline}
        found |= {f"{slot.name} v{slot.version}": slot.scores for slot in state.slots}
        rolling = {name: one.report()["rolling"] for name, one in found.items()}
        known = {name: report[score] for name, report in rolling.items() if report["n"] >= ENOUGH}
        self.curve.append(Point(state.shard, len(self.losses), known))


ALONE = Beside()


def backtest(
    app: Application,
    records: Iterable[tuple[int, Record]],
    n: int,
    storage: Storage,
    progress: Callable[[int], None] = lambda _done: None,
    beside: Beside = ALONE,
) -> Played:
    """Step n records, each with its shard, in their order.

    Raises:
        ModelFault, …: what a champion raises in learning, as a learner would.
    """
    breakdown = Breakdown(app, beside.columns)
    accounts = [Account(app, shard, storage, breakdown, beside) for shard in range(app.shards)]
    score = "accuracy" if app.task != "regression" else "mae"
    every = max(1, n // POINTS)
    started_s = time.process_time()
    curve_s = 0.0
    for done, (shard, record) in enumerate(records, 1):
        accounts[shard].step(record)
        if done % every == 0:
            at_s = time.process_time()
            accounts[shard].point(score)
            progress(done)
            curve_s += time.process_time() - at_s
    took_s = time.process_time() - started_s - curve_s - sum(account.beside_s for account in accounts)
    for rival in beside.rivals.values():
        rival.score()
    found = played(app, accounts, score, took_s, storage, beside.rivals)
    found.calibration, found.slices = breakdown.bins(), breakdown.slices()
    return found


def played(
    app: Application,
    accounts: Sequence[Account],
    score: str,
    took_s: float,
    storage: Storage,
    rivals: Mapping[str, Rival],
) -> Played:
    """Sum up all shards."""
    outcomes = [account.outcome("beginning") for account in accounts]
    states = [account.processor.core.state for account in accounts]
    events = sum(outcome.predictions for outcome in outcomes)
    dead: dict[str, int] = {}
    for state in states:
        for reason, times in state.dead_by_reason.items():
            dead[reason] = dead.get(reason, 0) + times
    return Played(
        target=app.name,
        app=app.name,
        task=app.task,
        score=score,
        events=events,
        labels=sum(state.counters.labels_learned for state in states),
        dead_letters=dead,
        first_refused={
            name: text for account in accounts[::-1] for name, text in account.first_refused.items()
        },
        us=took_s * 1e6 / max(1, events),
        alarms=sum(outcome.alarms for outcome in outcomes),
        searches=sum(outcome.hunts for outcome in outcomes),
        swaps=sum(outcome.swaps for outcome in outcomes),
        rollbacks=sum(outcome.rollbacks for outcome in outcomes),
        lines=lines(
            app,
            states,
            [account.scores for account in accounts],
            {name: rival.scores for name, rival in rivals.items()},
            score,
            storage,
        ),
        curve=[point for account in accounts for point in account.curve],
        marks=[mark for account in accounts for mark in account.marks],
    )
