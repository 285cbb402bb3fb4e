"""What a definition would have served: records go through the live step, without servers.

Each shard has the machine that a learner has, so predictions, alarms and swaps are those of a live run over
the same records, to the bit. A prediction counts as it was served, once its label has come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import Any

import msgspec

from stream_app.application import Application
from stream_app.flow.core import Core, RefillSets
from stream_app.flow.outputs import DeadLettered
from stream_app.flow.served import PredictionMade
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.history.variant import Variant
from stream_app.models.calls import bind, reply
from stream_app.state.scores import Scores
from stream_app.state.shard import ShardState
from stream_app.state.slot import Slot
from topics.catalog import catalog
from topics.envelope import Record

SERVED, LAST_LABEL = "served", "last label"
BATCH = 500  # records
POINTS = 200  # of a learning curve
ENOUGH = 50  # labels: a rolling score of fewer is noise
ASKED = 200  # predictions that a model's time is measured with
Z = 1.96  # of a 95 % interval


class Storage(msgspec.Struct):
    """How models are stored and loaded, as snapshots do it."""

    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]
    refill_sets: RefillSets

    def round_trip(self, model: Any) -> Any:
        """What loading gives of what was stored."""
        return self.load(self.dump(model))


class Line(msgspec.Struct):
    """One model's row of the table.

    `scores` are of all predictions it made, `low` and `high` the 95 % interval of the first one, if labels
    were independent. `predict_us` and `size` (bytes, pickled) are of the model as it ended.
    """

    name: str
    version: int | None
    scores: dict[str, float]
    low: float | None
    high: float | None
    predict_us: float | None = None
    size: int | None = None

    @property
    def title(self) -> str:
        """Name and version."""
        return self.name if self.version is None else f"{self.name} v{self.version}"


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


class Account(Variant):
    """One shard's machine, and what it served."""

    def __init__(self, app: Application, shard: int, storage: Storage) -> None:
        inputs = catalog(app.name, app.shards).inputs
        core = Core(app, ShardState(app, shard), storage.round_trip, storage.refill_sets)
        super().__init__(
            SERVED,
            BatchProcessor(core, inputs, epoch=0, seq=0, digest=FIRST_DIGEST, positions=[0, 0, 0]),
        )
        self.scores = Scores(core.state.classify)
        self.curve: list[Point] = []
        self.marks: list[Mark] = []
        self.records = 0
        self.first_refused: dict[str, str] = {}
        cases = self.processor.emitter.cases
        perform = cases[DeadLettered]

        def also(letter: Any) -> None:
            self.first_refused.setdefault(letter.reason, letter.message)
            perform(letter)

        cases[DeadLettered] = also

    def score(self, place: int, made: PredictionMade, label: Any) -> None:
        """Score what was served, with its probabilities."""
        super().score(place, made, label)
        self.scores.update(label, made.prediction, made.probabilities)

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


def backtest(
    app: Application,
    records: Iterable[tuple[int, Record]],
    n: int,
    storage: Storage,
    progress: Callable[[int], None] = lambda _done: None,
) -> Played:
    """Step n records, each with its shard, in their order.

    Raises:
        ModelFault, …: what a champion raises in learning, as a learner would.
    """
    accounts = [Account(app, shard, storage) for shard in range(app.shards)]
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
    took_s = time.process_time() - started_s - curve_s
    return played(app, accounts, score, took_s, storage)


def played(
    app: Application, accounts: Sequence[Account], score: str, took_s: float, storage: Storage
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
        lines=lines(app, accounts, score, storage),
        curve=[point for account in accounts for point in account.curve],
        marks=[mark for account in accounts for mark in account.marks],
    )


def lines(app: Application, accounts: Sequence[Account], score: str, storage: Storage) -> list[Line]:
    """What was served first, then every model that is there at the end by its score, then the last label."""
    states = [account.processor.core.state for account in accounts]
    by_model: dict[tuple[str, int], list[tuple[ShardState, Slot]]] = {}
    for state in states:
        for slot in state.slots:
            by_model.setdefault((slot.name, slot.version), []).append((state, slot))
    models = []
    for (name, version), found in by_model.items():
        line = line_of(name, version, [slot.scores for _, slot in found], score)
        state, slot = found[0]
        if slot.failed is None:
            line.predict_us, line.size = cost(app, state, slot, storage)
        if line.scores["n"]:  # a candidate of the last search may have served nobody yet
            models.append(line)
    sign = 1 if score == "mae" else -1
    models.sort(key=lambda line: sign * line.scores.get(score, sign * 1e300))
    served = line_of(SERVED, None, [one.scores for one in accounts], score)
    last = line_of(LAST_LABEL, None, [state.baseline for state in states], score)
    return [served, *models, last]


def line_of(name: str, version: int | None, parts: Sequence[Scores], score: str) -> Line:
    """One line of all shards together."""
    block: Any = type(parts[0].block)()
    for part in parts:
        block.add(part.total)
        block.add(part.block)
    report = block.report()
    low, high = interval(report, score)
    return Line(name, version, report, low, high)


def interval(report: dict[str, float], score: str) -> tuple[float | None, float | None]:
    """The 95 % interval of an accuracy (Wilson) or of a mean absolute error (normal).

    >>> [round(one, 3) for one in interval({"n": 100, "accuracy": 0.9}, "accuracy")]
    [0.826, 0.945]
    """
    n = report["n"]
    if not n:
        return None, None
    value = report[score]
    if score == "accuracy":
        middle, spread = value + Z * Z / (2 * n), Z * sqrt(value * (1 - value) / n + (Z / (2 * n)) ** 2)
        return (middle - spread) / (1 + Z * Z / n), (middle + spread) / (1 + Z * Z / n)
    half = Z * sqrt(max(0.0, report["rmse"] ** 2 - value**2) / n)
    return value - half, value + half


def cost(
    app: Application, state: ShardState, slot: Slot, storage: Storage
) -> tuple[float | None, int | None]:
    """µs of one prediction and pickled bytes of a copy; None where it cannot be stored."""
    try:
        stored = storage.dump(slot.model)
        copy = storage.load(stored)
    except Exception:
        return None, None
    rows = list(state.sample_rows)
    if slot.cold or not rows:
        return None, len(stored)
    calls = bind(copy, app.question)
    started_s = time.process_time()
    for number in range(ASKED):
        reply(calls, rows[number % len(rows)])
    return (time.process_time() - started_s) * 1e6 / ASKED, len(stored)
