"""No record stops a shard: it crashes at most three times, becomes a dead letter, and the rest goes on."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson
import pytest
from river import base

from stream_app.errors import ShardFailed
from stream_app.learner.care import MOST_ATTEMPTS, MOST_FAILURES, Care, Failures
from stream_app.learner.history.verify import verify_shard
from stream_app.learner.shard import Phase, Shard
from stream_app.ports import Commit
from tests.scenario.fake_kafka import Writer
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import TOPICS, ShardDriver, application, read_letter
from topics.envelope import EVENT, LABEL, RANKS, Record
from topics.journal import AttemptRecord

POISON = 13
EVENTS = 20
TURNS = 400


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


class Poisoned(base.Classifier):
    """Raises at one row, when it predicts or when it learns."""

    raised: ClassVar[type[BaseException]] = Killed
    at: ClassVar[str] = "predict"
    rows: ClassVar[set[int]] = {POISON}
    met: ClassVar[int] = 0

    def meet(self, x: dict[Any, Any], at: str) -> None:
        if at == self.at and x["x"] in self.rows:
            Poisoned.met += 1
            raise self.raised

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        self.meet(x, "predict")
        return {True: 0.5, False: 0.5}

    def learn_one(self, x: dict[Any, Any], y: object, **_: Any) -> None:
        self.meet(x, "learn")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Twenty events and their labels, one of which is poison."""
    monkeypatch.setattr(Poisoned, "met", 0)
    world = World(application(champion=lambda seed: Poisoned()))
    for n in range(EVENTS):
        world.clock.now_s += 0.01
        world.record(EVENT, world.clock.now_ms(), {"event_id": f"e{n}", "features": {"x": n}})
        world.record(LABEL, world.clock.now_ms(), {"event_id": f"e{n}", "label": n % 2 == 0})
    return world


def work(world: World, shard: Shard) -> Shard:
    """Turn until all inputs are committed; each life of the shard reads on where the journal ends."""
    seen = None
    for _ in range(TURNS):
        shard.turn()
        live = shard.live
        if live is not None and live is not seen:
            seen = live
            for rank in RANKS:
                if rest := world.inputs[rank][live.processor.positions[rank] :]:
                    live.offer(rank, rest)
                live.merge.end(rank, len(world.inputs[rank]))
        elif live is not None and live.caught_up:
            return shard
        world.clock.now_s += 1
    raise AssertionError(f"the shard is {shard.phase} after {TURNS} turns")


def lives(world: World) -> int:
    """Processes until one ends well: how many died."""
    for died in range(12):
        try:
            # The first runs for long already, the others are started by its supervisor.
            work(world, world.shard(proven=died == 0, restarted=died > 0))
        except Killed:
            world.clock.now_s += 1
        else:
            return died
    raise AssertionError("it dies again and again")


def journal(world: World, kind: str) -> list[dict[str, Any]]:
    """The journal's records of one kind."""
    return [record for record in map(orjson.loads, world.journal) if record["type"] == kind]


def letters(world: World) -> list[Any]:
    """The dead letters."""
    return [read_letter(send) for send in world.written if send.topic == "dead_letters"]


def proven_by_replay(world: World) -> None:
    """A replay of the journal comes to the same digests, and no model meets the poison in it."""
    met = Poisoned.met
    results = verify_shard(world.past())
    assert [found.why for found in results if not found.equal] == []
    assert Poisoned.met == met


@pytest.mark.parametrize(("at", "rank"), [("predict", EVENT), ("learn", LABEL)])
def test_a_record_that_kills_the_process_is_a_dead_letter_after_three_restarts(
    world: World, monkeypatch: pytest.MonkeyPatch, at: str, rank: int
) -> None:
    """At an event and at a label: the record alone is refused, all others are taken once."""
    monkeypatch.setattr(Poisoned, "at", at)
    assert lives(world) <= MOST_ATTEMPTS
    (letter,) = letters(world)
    assert (letter.reason, letter.stage, letter.topic) == ("crash", "crash", TOPICS[rank])
    assert letter.offset == POISON
    answered = [orjson.loads(value)["event_id"] for value in world.predictions]
    wanted = [f"e{n}" for n in range(EVENTS) if n != POISON or rank == LABEL]
    assert answered == wanted
    (crashed,) = [batch for batch in journal(world, "batch") if "crashed" in batch]
    assert crashed["crashed"] == {["commands", "events", "labels"][rank]: [POISON]}
    proven_by_replay(world)


def test_an_exception_goes_the_same_way_within_one_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a model raises and no slot's failure covers: three times, then the shard goes on."""
    monkeypatch.setattr(Poisoned, "raised", SystemExit)
    shard = work(world, world.shard())
    assert shard.phase is Phase.LIVE
    assert [letter.reason for letter in letters(world)] == ["crash"]
    assert Poisoned.met <= MOST_ATTEMPTS
    assert len(world.predictions) == EVENTS - 1
    assert "RuntimeError" in letters(world)[0].message
    proven_by_replay(world)


def test_each_of_many_is_a_dead_letter_and_no_other_record_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours, and one far behind: a record beside poison is never taken for it."""
    poison = {POISON, POISON + 1, EVENTS - 1}
    monkeypatch.setattr(Poisoned, "rows", poison)
    lives(world)
    assert {letter.offset for letter in letters(world) if letter.reason == "crash"} == poison
    assert len(world.predictions) == EVENTS - len(poison)
    proven_by_replay(world)


def test_a_failure_that_repeats_is_told_once_as_an_alert(world: World) -> None:
    """With where the shard stands, as it enters careful mode; ids are unique."""
    lives(world)
    (alert,) = world.alerts("shard-failing")
    assert (alert["severity"], alert["evidence"]["attempt"]) == ("critical", 2)
    assert set(alert["evidence"]["positions"]) == {"commands", "events", "labels"}


def test_in_careful_mode_each_record_has_a_transaction_and_an_attempt_before_it(world: World) -> None:
    """One record a batch among those under suspicion, each announced by its offset."""
    lives(world)
    kinds = [orjson.loads(value) for value in world.journal]
    alone = [i for i, record in enumerate(kinds) if record["type"] == "attempt" and record["record"]]
    for i in alone[:-1]:
        after = kinds[i + 1]
        if after["type"] == "batch":
            assert sum(n for _, _, n in after["inputs"].values()) == 1
    assert len(alone) >= POISON


def test_a_failure_outside_is_never_held_against_a_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that takes announcements and no batch: an alert, no dead letter, and all is taken at last."""
    monkeypatch.setattr(Poisoned, "rows", set())
    commit, failing = Writer.commit, [True] * (MOST_FAILURES + 2)

    def refuse(self: Writer, commit_: Commit, group: bytes | None) -> int | None:
        if commit_.predictions and failing:
            failing.pop()
            raise ShardFailed("the broker is away")
        return commit(self, commit_, group)

    monkeypatch.setattr(Writer, "commit", refuse)
    work(world, world.shard(proven=False))
    assert letters(world) == []
    assert len(world.predictions) == EVENTS
    (alert,) = world.alerts("shard-failing")
    assert "the broker is away" in alert["message"]
    assert "by no fault of a record" in alert["message"]


def test_a_shard_that_commits_between_its_failures_waits_no_longer_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause before it tries again doubles only while it comes no further."""
    monkeypatch.setattr(Poisoned, "rows", set())
    shard, pauses_s = world.shard(), []
    for comes_further in (True, True, False, False, True):
        if comes_further:
            world.record(EVENT, world.clock.now_ms(), {"event_id": f"{world.clock}", "features": {"x": 1}})
        work(world, shard).fail(ShardFailed("the broker is away"))
        pauses_s.append(shard.retry_at_s - world.clock.monotonic())
    assert pauses_s == [0.5, 0.5, 1.0, 2.0, 0.5]


def test_a_process_killed_beside_a_step_is_never_held_against_a_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the same record's transaction again and again, in careful mode: it is predicted at last."""
    monkeypatch.setattr(Poisoned, "rows", {0})
    commit, kills = Writer.commit, [True] * (2 * MOST_ATTEMPTS)

    def killed(self: Writer, commit_: Commit, group: bytes | None) -> int | None:
        Poisoned.rows = set()
        if commit_.predictions and kills:
            kills.pop()
            raise Killed
        return commit(self, commit_, group)

    monkeypatch.setattr(Writer, "commit", killed)
    lives(world)
    assert kills == []
    assert {one["attempt"] for one in journal(world, "attempt")} == {1}
    assert letters(world) == []
    assert len(world.predictions) == EVENTS


def test_a_stop_within_an_attempt_is_no_failed_attempt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was announced is finished before the process ends, so the next one begins without suspicion."""
    monkeypatch.setattr(Poisoned, "rows", set())
    shard = world.shard(proven=False)
    assert shard.live is not None
    live = shard.live
    for rank in RANKS:
        live.offer(rank, world.inputs[rank]) if world.inputs[rank] else None
        live.merge.end(rank, len(world.inputs[rank]))
    while live.care.announced is None:
        shard.turn()
    for _ in range(20):
        if shard.finish(last_words=False):
            break
    shard.drop()
    assert orjson.loads(world.journal[-1])["type"] == "batch"
    after = world.shard(proven=False)
    assert after.live is not None
    assert not after.live.care.careful


def test_a_shard_at_the_end_of_its_inputs_announces_nothing(world: World) -> None:
    """Nothing is left from the life before, so a record that comes later costs one transaction."""
    world.inputs = [[], [], []]
    shard = work(world, world.shard(proven=False))
    world.feed(shard, EVENT, {"event_id": "later", "features": {"x": 1}})
    assert len(world.predictions) == 1
    assert journal(world, "attempt") == []


def test_what_goes_with_statistics_outlives_an_old_generation(world: World) -> None:
    """A notice whose transaction met an old generation is sent again under the next one."""
    world.inputs = [[], [], []]
    shard = work(world, world.shard())
    assert shard.live is not None
    shard.live.runtime_alerts.notice("candidate-slow", "raised once")
    shard.live.stats_due = True
    world.generation = b"generation 2"
    world.settle(shard)
    assert world.alerts("candidate-slow") == []
    world.group = world.generation
    world.settle(shard)
    assert len(world.alerts("candidate-slow")) == 1


def after(*numbers: int, spared: int = 0) -> tuple[Care, Failures]:
    """A life after attempts at the event at offset 0, one of which was broken off for other reasons."""
    processor = ShardDriver().processor
    made = [AttemptRecord(0, 0, processor.digest, number, {}, 5, ("events", 0)) for number in numbers]
    processor.attempts = list(made)
    failures = Failures(spared=next((one for one in made if one.attempt == spared), None))
    care = Care(processor, 10, failures)
    care.held = [(EVENT, [Record(EVENT, 0, 1, b"k", b"{}")])]
    return care, failures


def announced(care: Care) -> tuple[int, int]:
    """The number of the next attempt, and of alerts that go with it."""
    commit = care.announcement()
    assert care.announced is not None
    return care.announced.attempt, len(commit.others)


def test_an_attempt_that_was_broken_off_is_made_again_under_its_number_without_another_alert() -> None:
    """One alert for each place, however often its transaction is needed."""
    assert announced(after(1)[0]) == (2, 1)
    assert announced(after(1, 2)[0]) == (3, 0)
    assert announced(after(1, 2, spared=2)[0]) == (2, 0)
    assert announced(after(1, spared=1)[0]) == (1, 0)


def test_a_crash_counts_though_the_same_attempt_was_broken_off_before() -> None:
    """Else a record that crashes would be tried without limit after one failure of the broker."""
    care, failures = after(1, 1, spared=1)
    care.stepping = True
    failures.note(care, "ValueError")
    again = Care(care.processor, 10, failures)
    again.held = care.held
    assert announced(again) == (2, 1)
