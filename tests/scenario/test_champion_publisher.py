"""What predictors see is a committed champion: at once after a swap, else paced, never a torn one."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from river import linear_model

from stream_app.adapters.signing import public_key
from stream_app.adapters.snapshot_store import sealed_opener
from stream_app.errors import Refused, ShardFailed
from stream_app.learner.active_shard import ActiveShard
from stream_app.models.explanations import importance
from stream_app.predictor.champion import Champion, accept
from tests.scenario.fake_outside import FINGERPRINT, PRIVATE, Held, World
from tests.scenario.shard_driver import application
from topics.envelope import COMMAND, EVENT

KEY = [public_key(PRIVATE)]
PRINTS = {name: value for name, value in FINGERPRINT.items() if name != "topics"}


@pytest.fixture
def world() -> World:
    """A shard whose challenger may be promoted."""
    return World(application(challengers={"other": lambda _: linear_model.Perceptron()}))


def taken(world: World, place: int = -1, keys: list[bytes] = KEY, prints: Any = PRINTS) -> Champion:
    """A publication as a predictor takes it over."""
    sealed = world.shown[place][2]
    return accept(world.app, 0, prints, sealed, sealed_opener(keys, world.app.modules))


def event(world: World, live: ActiveShard, n: int) -> None:
    """One labelled event and one turn."""
    world.offer(live, EVENT, {"event_id": f"e{n}", "features": {"x": n}, "label": n % 2 == 0})
    live.turn()


def lived(world: World, pool: Held | None = None) -> ActiveShard:
    """The shard, its first champion published."""
    live = world.shard().live
    assert live is not None
    live.turn()
    live.turn()
    assert len(world.shown) == 1
    if pool is not None:
        live.pipeline.pool = pool
    return live


def test_a_shard_publishes_what_it_serves_as_soon_as_it_lives(world: World) -> None:
    """Before any event, so that predictors become ready."""
    lived(world)
    found = taken(world)
    assert (found.batch, found.published.version, found.published.learned) == ((0, 0), 1, 0)
    assert found.predict({"x": 1}) == (None, None)  # it has learned nothing


def test_what_features_do_to_answers_is_in_the_statistics(world: World) -> None:
    """Of the published copy, as shares; the live model is the one of a shard that publishes nothing."""
    live = lived(world)
    silent = World(world.app).shard().live
    assert silent is not None
    for n in range(40):
        world.clock.now_s += 2.0
        for one in (live, silent):
            world.offer(one, EVENT, {"event_id": f"e{n}", "features": {"x": n, "y": n % 3}, "label": n > 20})
            one.turn()
            one.turn()
    ranking = live.champion_publisher.importance.ranking
    assert [name for name, _ in ranking] == ["x", "y"]
    assert sum(share for _, share in ranking) == pytest.approx(1.0)
    told = [orjson.loads(send.value or b"") for send in world.written if send.topic == "stats"]
    assert told[-1]["importance"][0][0] == "x"


def test_other_features_that_carry_the_answers_are_an_alert(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once, with the shares before and now; no record caused it."""
    monkeypatch.setattr(importance, "BLOCK", 40)
    live, dice = lived(world), random.Random(6)
    for n in range(150):
        world.clock.now_s += 2.0
        features = {"x": dice.gauss(0, 1), "y": dice.gauss(0, 1)}
        features["y" if n < 60 else "x"] *= 0.01
        label = features["x" if n < 60 else "y"] > 0
        world.offer(live, EVENT, {"event_id": f"e{n}", "features": features, "label": label})
        live.turn()
        live.turn()
    (alert,) = world.alerts("importance-moved")
    assert alert["severity"] == "info"
    assert "answers rest on other features" in alert["message"]
    shares = {name: (before, now) for name, before, now in alert["evidence"]["features"]}
    assert shares["x"][0] > shares["x"][1]
    assert shares["y"][0] < shares["y"][1]


def test_a_champion_is_seen_only_once_its_batch_is_committed(world: World) -> None:
    """Taken with the batch on its way; a batch that fails is never seen."""
    pool = Held()
    live = lived(world, pool)
    world.clock.now_s += 2.0
    event(world, live, 0)
    assert live.champion_publisher.taken is not None
    live.turn()
    assert len(world.shown) == 1
    world.down = True
    pool.let_go()
    with pytest.raises(ShardFailed):
        live.turn()
    assert len(world.shown) == 1


def test_a_published_champion_answers_as_the_learner_did_after_its_batch(world: World) -> None:
    """To the bit, though the learner has gone on meanwhile; it tells what it was trained through."""
    live = lived(world)
    for n in range(20):
        event(world, live, n)
    world.clock.now_s += 2.0
    event(world, live, 20)
    live.turn()
    then = {n: repr(live.processor.core.calls[0][1].predict({"x": n})) for n in range(5)}
    event(world, live, 21)
    found = taken(world)
    assert {n: repr(found.predict({"x": n})) for n in range(5)} == then
    assert (found.published.learned, found.positions) == (21, (0, 21, 0))
    assert found.published.kinds == {"x": "number"}


def test_what_learned_is_published_once_an_interval_at_most(world: World) -> None:
    """Batches within the interval wait for its end."""
    live = lived(world)
    for n in range(5):
        event(world, live, n)
    assert len(world.shown) == 1
    world.clock.now_s += 1.5
    event(world, live, 5)
    live.turn()
    assert [stamp for stamp, _, _ in world.shown] == ["0:0", "0:6"]


def test_another_champion_is_published_at_once(world: World) -> None:
    """Though the interval is not over."""
    live = lived(world)
    event(world, live, 0)
    order = {
        "command_id": "c",
        "command": "promote",
        "actor": "a",
        "reason": "r",
        "slot": "other",
        "shard": 0,
    }
    world.offer(live, COMMAND, order)
    live.turn()
    live.turn()
    assert taken(world).published.name == "other"


def test_a_dear_champion_is_published_seldom(world: World) -> None:
    """Pickling takes a hundredth of the time at most."""
    live = lived(world)
    live.champion_publisher.budget.cost_s = 0.5
    for n in range(49):
        world.clock.now_s += 1.0
        event(world, live, n)
    assert len(world.shown) == 1
    world.clock.now_s += 2.0
    event(world, live, 49)
    live.turn()
    assert len(world.shown) == 2


def test_a_model_does_not_age_while_nothing_happens(world: World) -> None:
    """The newest is said to be that once an interval; one that has been overtaken is not."""
    live = lived(world)
    for _ in range(3):
        world.clock.now_s += 1.5
        live.turn()
        live.turn()
    assert [stamp for stamp, _ in world.touched] == ["0:0"] * 3
    assert world.touched[-1][1] > world.shown[0][1]
    live.champion_publisher.budget.cost_s = 1_000.0
    world.clock.now_s += 1.5
    event(world, live, 0)
    live.turn()
    world.clock.now_s += 1.5
    live.turn()
    assert len(world.touched) == 3


def test_what_redis_lost_is_shown_again(world: World) -> None:
    """Flushed, or restored from an old copy: the touch finds out."""
    live = lived(world)
    world.shelf_answer = "behind"
    world.clock.now_s += 1.5
    live.turn()
    world.shelf_answer = "ok"
    for _ in range(3):
        live.turn()
    assert [stamp for stamp, _, _ in world.shown] == ["0:0", "0:0"]


def test_while_redis_shows_a_newer_champion_nothing_is_published(world: World) -> None:
    """What this process holds may be of the past: learning goes on, and one alert says so."""
    live = lived(world)
    world.shelf_answer = "fenced"
    for n in range(20):
        world.clock.now_s += 1.5
        event(world, live, n)
        live.turn()
    assert (len(world.shown), len(world.predictions)) == (1, 20)
    (alert,) = world.alerts("view-fenced")
    assert alert["evidence"]["what"] == ["published champion"]


def test_a_champion_is_published_again_once_the_newer_one_is_gone(world: World) -> None:
    """Somebody deleted the keys: the newest champion is taken, though nothing was learned since."""
    live = lived(world)
    world.shelf_answer = "fenced"
    world.clock.now_s += 1.5
    event(world, live, 0)
    live.turn()
    live.turn()
    assert live.champion_publisher.fenced
    world.shelf_answer = "behind"
    for _ in range(9):
        world.clock.now_s += 1.0
        live.turn()
        fenced: bool = live.champion_publisher.fenced
        world.shelf_answer = "behind" if fenced else "ok"
    assert [stamp for stamp, _, _ in world.shown] == ["0:0", "0:1"]


@pytest.mark.parametrize("answer", ["down", "raises"])
def test_a_dead_redis_is_tried_again_with_the_newest(world: World, answer: str) -> None:
    """Whatever a store raises, the learner goes on; what was not shown is overtaken by what came after."""
    live = lived(world)
    world.shelf_answer = answer
    for n in range(3):
        world.clock.now_s += 1.5
        event(world, live, n)
        live.turn()
    world.shelf_answer = "ok"
    world.clock.now_s += 1.5
    for _ in range(4):
        live.turn()
    assert [stamp for stamp, _, _ in world.shown] == ["0:0", "0:3"]


def test_a_graceful_stop_leaves_the_last_word(world: World) -> None:
    """What was learned since the last publication is shown before the shard goes."""
    live = lived(world)
    event(world, live, 0)
    live.turn()
    assert len(world.shown) == 1
    live.leave()
    while not live.finish(last_words=False):
        pass
    assert [stamp for stamp, _, _ in world.shown] == ["0:0", "0:1"]


class Unstorable(linear_model.LogisticRegression):
    """It learns, and refuses to be pickled."""

    def __reduce_ex__(self, _protocol: Any) -> Any:
        raise TypeError("not today")


def test_a_champion_that_cannot_be_stored_holds_nothing_up() -> None:
    """The shard lives and commits; predictors keep what they have."""
    world = World(application(champion=lambda _: Unstorable()))
    live = world.shard().live
    assert live is not None
    event(world, live, 0)
    live.turn()
    assert (len(world.journal), world.shown) == (2, [])
    assert "not today" in (live.champion_publisher.error or "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda sealed: sealed[:-1], "not ours"),
        (lambda sealed: sealed[:5] + b"X" + sealed[6:], "not ours"),
        (lambda _: b"", "not ours"),
    ],
    ids=["torn", "changed", "empty"],
)
def test_a_publication_that_is_not_whole_is_refused(world: World, change: Any, why: str) -> None:
    """Nothing of it is unpickled."""
    lived(world)
    stamp, at_ms, sealed = world.shown[0]
    world.shown[0] = (stamp, at_ms, change(sealed))
    with pytest.raises(Refused, match=why):
        taken(world)


def test_a_stranger_s_publication_is_refused(world: World) -> None:
    """Another key, another definition, another shard: each is told apart."""
    lived(world)
    with pytest.raises(Refused, match="not ours"):
        taken(world, keys=[public_key(b"another" + PRIVATE[7:])])
    with pytest.raises(Refused, match="another definition"):
        taken(world, prints={**PRINTS, "python": "2.7"})
    sealed = world.shown[0][2]
    with pytest.raises(Refused, match="belongs elsewhere"):
        accept(world.app, 1, PRINTS, sealed, sealed_opener(KEY, world.app.modules))


def test_a_model_that_answers_its_samples_differently_is_refused(world: World) -> None:
    """A load that succeeds is no proof: what it says to the learner's own rows is."""
    live = lived(world)
    for n in range(40):
        event(world, live, n)
    live.champion_publisher.pickle(live.processor)
    live.champion_publisher.capture(live.processor)
    live.champion_publisher.committed()
    live.turn()
    opened = sealed_opener(KEY, world.app.modules)

    def other(sealed: bytes) -> Any:
        head, load = opened(sealed)

        def changed() -> Any:
            published = load()
            published.model["LogisticRegression"].intercept += 1.0
            return published

        return head, changed

    with pytest.raises(Refused, match="differently"):
        accept(world.app, 0, PRINTS, world.shown[-1][2], other)
