"""One shard's whole life in process under a seeded schedule of faults, judged as a run on real servers is.

Processes are started, killed and frozen; helper jobs end late, in part or never; the broker, the snapshot
store and Redis go away, forget, or answer after the fact. Every choice comes from one seed. In the end a last
process learns what is left, and `tests/faults/judge.py`, of which the learner knows nothing, recomputes it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from river import linear_model, naive_bayes, preprocessing, tree

from stream_app import features as f
from stream_app.application import Application, Labels, Snapshots, SwapPolicy
from stream_app.errors import ShardFailed, Unreachable
from stream_app.learner.care import MOST_ATTEMPTS
from stream_app.learner.history.verify import verify_shard
from stream_app.learner.shard import Phase, Shard
from stream_app.learner.step_marks import StepMarks
from stream_app.ports import Commit
from tests.faults.committed import INPUTS, Stored
from tests.faults.judge import Report, ShardJudge
from tests.faults.traffic import stream
from tests.scenario.fake_kafka import Log, Writer
from tests.scenario.fake_outside import FINGERPRINT, Clock, Store, View, World, fulfil
from tests.scenario.shard_driver import START_MS, TOPICS
from topics.envelope import RANKS, Record
from topics.fitting import HEADER

N = 30  # events of a schedule; with labels, repeats and odd records about 60 records
TURNS = 120  # with faults
REST = 4_000  # turns in which the last process must have learned everything
IDLE = 25  # turns of half a second at rest: it asks for the view each second, and sends statistics after ten
MODELS: dict[str, Callable[[int], Any]] = {
    "logistic": lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "bayes": lambda seed: naive_bayes.GaussianNB(),
    "tree": lambda seed: tree.HoeffdingTreeClassifier(grace_period=5),
}
AGAIN = 0.02  # of the polls: their records come a second time
OFTEN = Snapshots(max_cost=1.0, max_recovery="10ms")
FAULTS = (
    "killed", "killed with its supervisor", "frozen", "generation", "broker away", "answer lost",
    "offsets lost", "markers lost", "connection lost", "store away", "store full", "snapshots lost",
    "Redis away", "Redis lost", "clock step",
)  # fmt: skip


class LateFuture(Future[Any]):
    """Is done when its executor comes to it, or when somebody waits for it."""

    def __init__(self, executor: Late) -> None:
        super().__init__()
        self.executor = executor

    def result(self, timeout: float | None = None) -> Any:
        self.executor.finish()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> Any:
        self.executor.finish()
        return super().exception(timeout)


class Late(Executor):
    """Helper threads in one thread: jobs begin in order, some at each turn, and end as their work ends."""

    def __init__(self) -> None:
        self.jobs: list[tuple[LateFuture, Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = LateFuture(self)
        self.jobs.append((future, partial(fn, *args, **kwargs)))
        return future

    def turn(self, dice: random.Random) -> None:
        """Some of the jobs are done."""
        for _ in range(dice.choice((0, 0, 1, 1, 2, 5))):
            if self.jobs:
                fulfil(*self.jobs.pop(0))

    def finish(self) -> None:
        """All of them are."""
        while self.jobs:
            fulfil(*self.jobs.pop(0))

    def die(self, dice: random.Random) -> None:
        """The process is gone: what was sent already may still be done, in order, and nobody hears of it."""
        while self.jobs and dice.random() < 0.5:
            with suppress(Exception):
                self.jobs.pop(0)[1]()
        self.jobs.clear()


class Member(Log):
    """A group member with a generation of its own, as each process has."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.mine = world.generation

    def group(self) -> bytes | None:
        return self.mine


class LossyWriter(Writer):
    """A broker whose answer may be lost after it has committed: `world.answer_lost` counts them down."""

    world: SimWorld

    def commit(self, commit: Commit, group: bytes | None) -> int | None:
        found = super().commit(commit, group)
        if self.world.answer_lost:
            self.world.answer_lost -= 1
            raise ShardFailed("the answer to the commit was lost")
        return found

    def end(self, topic: str, values: list[Any]) -> None:
        super().end(topic, values)
        if topic == "predictions":
            self.world.stamped += [(key.encode(), time_ms) for _, key, time_ms in values]


class KeptView(View):
    """Keeps the blobs too."""

    world: SimWorld

    def show(self, stamp: str, shown: str, blobs: Any, answer: str) -> str:
        given = super().show(stamp, shown, blobs, answer)
        if given == "ok":
            self.world.blobs.update(blobs)
        return given


class SteppedClock(Clock):
    """Whose wall time is set anew now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.off_s = 0.0

    def now_ms(self) -> int:
        return int((self.now_s + self.off_s) * 1000)


class FullStore(Store):
    """Where saving fails while `world.full`."""

    world: SimWorld

    def save(self, header: Any, payload: bytes) -> int:
        if self.world.full:
            raise OSError(28, "No space left on device")
        return super().save(header, payload)


class SimWorld(World):
    """The world with what a schedule does to it."""

    def __init__(self, app: Application) -> None:
        super().__init__(app)
        self.answer_lost = 0
        self.full = False
        self.stamped: list[tuple[bytes, int]] = []  # key and time of each prediction
        self.blobs: dict[str, bytes | None] = {}
        self.wall = SteppedClock()
        self.clock = self.wall


class Process:
    """A learner process that owns the shard, or thinks so."""

    def __init__(self, world: SimWorld, *, restarted: bool) -> None:
        if not restarted:
            world.step_file.truncate(0)
        self.world, self.late, self.member = world, Late(), Member(world)
        deps = replace(
            world.deps,
            log=self.member,
            open_writer=lambda _: LossyWriter(world),
            open_view=lambda _: KeptView(world),
            open_store=lambda _: FullStore(world),
            clock=world.clock,
            pool=self.late,
            store_pool=self.late,
            marks=StepMarks(world.step_file.fileno()),
            tuning=replace(world.deps.tuning, publish_s=5.0, batch_records=8),
        )
        self.shard = Shard(deps, 0, FINGERPRINT)

    def turn(self, dice: random.Random, limit: int) -> None:
        """One turn of its loop, and some of what its helpers have to do."""
        self.shard.turn()
        self.late.turn(dice)
        live = self.shard.live
        if live is None:
            return
        polled = self.member.poll(limit, 0.0)
        for (_, rank), records in polled.records.items():
            live.offer(rank, records)
            if dice.random() < AGAIN:  # as a client was seen to do after a rebalance
                live.offer(rank, records)
        for (_, rank), position in polled.ends.items():
            live.merge.end(rank, position)

    @property
    def idle(self) -> bool:
        live = self.shard.live
        return live is not None and live.caught_up


class Schedule:
    """Runs one seed; `met` counts the faults that came."""

    def __init__(self, seed: int, model: str) -> None:
        self.seed, self.dice, self.met = seed, random.Random(f"{seed} {model}"), Counter[str]()
        self.app = Application(
            name="a",
            task="binary",
            champion=MODELS[model],
            features=[f.last("x0")],
            labels=Labels(horizon="5s"),
            snapshot=OFTEN,
            swap=SwapPolicy(policy="never"),
        )
        self.world = SimWorld(self.app)
        self.to_come = stream("numeric", N, self.dice.randrange(1 << 31), START_MS, odd_share=0.3)[::-1]
        self.process = Process(self.world, restarted=False)
        self.frozen: Process | None = None
        self.mends: list[tuple[int, Callable[[], None]]] = []  # at which turn what is over

    def run(self) -> list[str]:
        """The violations."""
        dice, world = self.dice, self.world
        for turn in range(TURNS):
            for mend in [mend for at, mend in self.mends if at <= turn]:
                mend()
            self.mends = [one for one in self.mends if one[0] > turn]
            if dice.random() < 0.08:
                self.fault(dice.choice(FAULTS), turn)
            for _ in range(dice.choice((0, 0, 1, 3))):
                self.write()
            world.clock.now_s += dice.choice((0.001, 0.02, 0.6))
            self.process.turn(dice, dice.choice((1, 3, 50)))
            if self.frozen is not None and dice.random() < 0.1:
                self.frozen.turn(dice, 50)  # it goes on where it stood
        for _, mend in self.mends:
            mend()
        while self.to_come:
            self.write()
        return self.rest() or self.judged()

    def write(self) -> None:
        """The next record comes."""
        if self.to_come:
            sent, world = self.to_come.pop(), self.world
            rank = INPUTS.index(sent.topic)
            record = Record(rank, world.end(rank), sent.time_ms, sent.key, sent.value, None)
            world.inputs[rank].append(record)
            if self.dice.random() < 0.05:
                world.marks[rank] = world.end(rank) + 1  # a control record, or one of an aborted transaction

    def rest(self) -> list[str]:
        """Let a process learn what is left."""
        idle = 0
        for _ in range(REST):
            self.world.clock.now_s += 0.5
            self.process.turn(self.dice, 50)
            idle = idle + 1 if self.process.idle else 0
            if idle > IDLE and not self.process.late.jobs:
                return []
            if self.process.shard.phase is Phase.HALTED:
                return [f"halted: {self.process.shard.refusal}"]
        return [f"not done after {REST} turns: {self.process.shard.phase.value}"]

    def fault(self, name: str, turn: int) -> None:
        """Do it; what ends by itself is put among the mends."""
        self.met[name] += 1
        world, dice = self.world, self.dice
        ends = turn + dice.randrange(1, 15)
        if name in ("killed", "killed with its supervisor"):
            self.process.late.die(dice)
            self.process = self.successor(restarted=name == "killed")
        elif name == "offsets lost":  # by a broker that was restarted, to which a learner comes back
            known = [position or 0 for position in world.committed]
            world.committed = [dice.randrange(position + 1) for position in known]
            self.process.late.die(dice)
            self.process = self.successor(restarted=True)
        elif name == "frozen":
            self.frozen = self.process
            self.process = self.successor(restarted=False)
        elif name == "generation":
            world.generation = self.new_generation()
            self.mends.append((ends, partial(self.hear, self.process.member)))
        elif name == "broker away":
            world.down = True
            self.mends.append((ends, partial(setattr, world, "down", False)))
        elif name == "answer lost":
            world.answer_lost += 1
            self.mends.append((ends, partial(setattr, world, "answer_lost", 0)))
        elif name == "connection lost":
            world.connection_lost = True
        elif name == "markers lost":
            world.markers_lost = dice.randrange(1, 4)
            self.mends.append((ends, partial(setattr, world, "markers_lost", 0)))
        elif name == "store away":
            world.store_away = Unreachable("the store is away", "wait")
            self.mends.append((ends, partial(setattr, world, "store_away", None)))
        elif name == "store full":
            world.full = True
            self.mends.append((ends, partial(setattr, world, "full", False)))
        elif name == "snapshots lost":
            world.snapshots.clear()
        elif name == "Redis away":
            world.view_answer = world.shelf_answer = "down"
            self.mends.append((ends, self.redis_back))
        elif name == "Redis lost":
            world.view_stamp, world.view_keys = None, []
            world.blobs.clear()
            world.shown.clear()
        else:
            world.wall.off_s = dice.uniform(-86_400, 86_400)

    def successor(self, *, restarted: bool) -> Process:
        """The shard goes to another process, under another generation."""
        self.world.generation = self.new_generation()
        return Process(self.world, restarted=restarted)

    def new_generation(self) -> bytes:
        return b"generation %d" % (int(self.world.generation.split()[-1]) + 1)

    def hear(self, member: Member) -> None:
        """The member hears of the generation, if it is still the one that owns the shard."""
        if member is self.process.member:
            member.mine = self.world.generation

    def redis_back(self) -> None:
        self.world.view_answer = self.world.shelf_answer = "ok"

    def judged(self) -> list[str]:
        """What the judge, a replay and the view say."""
        world, report = self.world, Report("a", 1)
        judge = ShardJudge(self.app, 0, stored(world), report)
        judge.judge(running=False)
        judge.check_group({(TOPICS[rank], 0): n for rank, n in enumerate(world.committed) if n is not None})
        found = list(report.violations)
        alerts = Counter(send.key for send in world.written if send.topic == "alerts")
        found += [f"alert {key!r} was written {n} times" for key, n in alerts.items() if n > 1]
        shown = {key: orjson.loads(blob) for key, blob in world.blobs.items() if blob is not None}
        if shown != {key: list(entity) for key, entity in judge.recount.entities.items()}:
            found.append("the view shows other entities than the recount has")
        if world.view_stamp != judge.stamp:
            found.append(f"the view is stamped {world.view_stamp}, the journal ends at {judge.stamp}")
        proofs = verify_shard(world.past())
        found += [f"a replay from {one.source} differs: {one.why}" for one in proofs if not one.equal]
        unknown = self.met["killed with its supervisor"] + self.met["frozen"]
        crashes = sum((HEADER + "reason", b"crash") in (send.headers or ()) for send in world.written)
        if crashes and unknown < MOST_ATTEMPTS - 1:  # more such ends at one record count as its doing
            found.append("a record was given up that crashed nothing")
        return found


def stored(world: SimWorld) -> dict[str, list[Stored]]:
    """What a read_committed consumer of each topic would see."""
    topics: dict[str, list[Stored]] = {
        name: [Stored(r.offset, r.time_ms, r.key, r.value, {}) for r in world.inputs[rank]]
        for rank, name in zip(RANKS, INPUTS, strict=True)
    }
    for short, name in (("dead_letters", "dead-letters"), ("stats", "stats"), ("alerts", "alerts")):
        sends = [send for send in world.written if send.topic == short]
        topics[name] = [
            Stored(n, 0, s.key, s.value, {k: v or b"" for k, v in s.headers or ()})
            for n, s in enumerate(sends)
        ]
    topics["predictions"] = [
        Stored(n, time_ms, key, value, {})
        for n, (value, (key, time_ms)) in enumerate(zip(world.predictions, world.stamped, strict=True))
    ]
    topics["journal"] = [Stored(2 * n, 0, None, value, {}) for n, value in enumerate(world.journal)]
    return topics
