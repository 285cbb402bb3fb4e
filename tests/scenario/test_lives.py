"""What a recovery does with a history that is lost, of another life, or out of reach."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from stream_app.errors import Halted, Unreachable
from stream_app.learner.loop import TOPIC_IDS_EVERY_S, Learner
from stream_app.learner.recovery.store_calls import RETRY_S, SILENT_S
from stream_app.learner.shard import Phase, Shard
from stream_app.ports import Polled
from tests.scenario.fake_outside import FINGERPRINT, Held, World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT, RANKS
from topics.life import life_of

LIFE = life_of(FINGERPRINT["topics"])
AWAY = Unreachable("the snapshot store gives no answer", "Bring it back")


def lived() -> World:
    """A shard's past with a snapshot at its end."""
    world = World(application())
    shard = world.shard()
    for n in range(3):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": n}})
    assert shard.live is not None
    shard.live.leave()
    shard.drop()
    return world


@pytest.mark.parametrize("evidence", ["snapshots", "view"])
def test_an_empty_journal_beside_its_own_history_is_refused(evidence: str) -> None:
    """Though the group forgot its offsets and predictions are gone: nothing is learned once more."""
    world = lived()
    for forgotten in (world.journal, world.predictions):
        forgotten.clear()
    world.committed = [None] * len(RANKS)
    if evidence == "view":
        world.snapshots.clear()
        world.view_life = LIFE
    shard = world.shard()
    assert isinstance(shard.refusal, Halted)
    assert "its journal is empty" in shard.refusal.message
    assert "`mv snapshots/a/0 snapshots/a/0.old; redis-cli --scan --pattern '{a:0}:*'" in shard.refusal.remedy
    assert world.journal == []


def test_what_another_life_left_is_said_once_with_the_first_epoch() -> None:
    """In one transaction with it: a kill in between can neither lose nor double it."""
    world = World(application())
    world.left_over, world.view_life = ["000000-000000000009-aa.snapshot"], "aa"
    shard = world.shard()
    assert shard.phase is Phase.LIVE
    (alert,) = world.alerts("earlier-life")
    assert (alert["severity"], alert["evidence"]["snapshots"]) == ("warning", world.left_over)
    assert alert["evidence"]["redis"] is True
    shard.drop()
    assert world.shard().phase is Phase.LIVE
    assert len(world.alerts("earlier-life")) == 1


def test_a_first_life_has_nothing_to_say() -> None:
    """No file and no key is left over."""
    world = World(application())
    assert world.shard().phase is Phase.LIVE
    assert not world.alerts("earlier-life")


def test_a_store_that_is_away_is_asked_again_and_an_alert_says_so_once() -> None:
    """Never taken for a store without snapshots: neither a replay of everything nor a halt."""
    world = lived()
    world.store_away = AWAY
    shard = world.shard()
    for _ in range(5):
        world.clock.now_s += RETRY_S + 1
        shard.turn()
        shard.turn()
    assert (shard.phase, shard.refusal) == (Phase.RECOVERING, None)
    (alert,) = world.alerts("snapshots-unreachable")
    assert (alert["severity"], alert["evidence"]["why"]) == ("critical", AWAY.message)
    world.store_away = None
    until_live(world, shard)
    assert shard.live is not None
    assert (shard.live.replayed, shard.live.snapshotter.seq) == (0, 3)
    assert len(world.alerts("snapshots-unreachable")) == 1


def test_a_store_that_never_answers_is_an_alert_too() -> None:
    """Not even with an error; live shards of the process have their turns meanwhile."""
    world = lived()
    held = Held()
    shard = Shard(replace(world.deps, store_pool=held), 0, FINGERPRINT)
    for _ in range(5):
        shard.turn()
    assert not world.alerts("snapshots-unreachable")
    world.clock.now_s += SILENT_S + 1
    shard.turn()
    shard.turn()
    (alert,) = world.alerts("snapshots-unreachable")
    assert "has not answered for 30 s" in alert["message"]
    until_live(world, shard, held)
    assert len(world.alerts("snapshots-unreachable")) == 1


def until_live(world: World, shard: Shard, held: Held | None = None) -> None:
    """Turns enough."""
    for _ in range(20):
        world.clock.now_s += RETRY_S
        if held is not None and held.held:
            held.let_go()
        shard.turn()
        if shard.phase is Phase.LIVE:
            return
    raise AssertionError(shard.phase)


def test_no_first_epoch_begins_over_topics_that_were_created_again_since_the_start() -> None:
    """It would carry the ids of topics that are gone, and no later start could go on from it."""
    world = World(application())
    world.topic_ids["a.events"] = "another"
    shard = world.shard()
    assert (shard.phase, world.journal) == (Phase.FAILED, [])


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def learner(world: World) -> Learner:
    """A learner whose one shard is live."""
    made = Learner(world.deps, FINGERPRINT)
    made.shards = {0: world.shard()}
    return made


def test_a_learner_leaves_when_an_input_becomes_another_topic(died: list[int]) -> None:
    """Found out within seconds, though its offsets go on; one that is missing for a moment is no other."""
    world = World(application())
    made = learner(world)
    topics: list[dict[str, str]] = [{}, {"a.events": "id"}, {**world.topic_ids, "a.events": "another"}]
    for expected, ids in zip(([], [], [70]), topics, strict=True):
        world.topic_ids = ids
        world.clock.now_s += TOPIC_IDS_EVERY_S + 1
        made.check_end()
        made.check_end()
        assert died == expected


@pytest.mark.parametrize(("topic_id", "codes"), [("another", [70]), ("id", [])])
def test_an_offset_that_is_gone_is_no_lost_record_where_its_topic_is_another(
    topic_id: str, codes: list[int], died: list[int]
) -> None:
    """The next start begins a new life; with the same topic the shard halts, as before."""
    world = World(application())
    made = learner(world)
    world.topic_ids["a.events"] = topic_id
    made.take_in(Polled({}, {}, {(0, EVENT): "out of range"}), 0.0)
    assert died == codes
    assert (made.shards[0].phase is Phase.HALTED) or codes


def test_lives_differ_by_the_ids_of_their_topics() -> None:
    """And by nothing else."""
    ids: dict[str, Any] = {"a.events": "1", "a.labels": "2"}
    assert life_of(ids) == life_of(dict(reversed(ids.items())))
    assert len({life_of(ids), life_of({**ids, "a.labels": "3"}), life_of({})}) == 3
