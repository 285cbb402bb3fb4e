"""What a predictor makes of what Redis shows: one shard's rubbish is that shard's alone."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from stream_app.adapters.signing import public_key, seal, unseal
from stream_app.adapters.snapshot_store import sealed_opener
from stream_app.predictor.champions import Champions, keep_fresh
from tests.scenario.fake_outside import FINGERPRINT, PRIVATE, World
from tests.scenario.fake_view import Counted, FakeView
from tests.scenario.shard_driver import application
from topics.envelope import EVENT
from topics.life import life_of

PRINTS = {name: value for name, value in FINGERPRINT.items() if name != "topics"}
PUBLIC = [public_key(PRIVATE)]
LIFE = life_of(FINGERPRINT["topics"])


class Predictor:
    """Champions of two shards over a view; what `world` published last is shown as both."""

    def __init__(self) -> None:
        self.view, self.told = FakeView(2), list[tuple[int, str]]()
        app = application(shards=2)
        opened = sealed_opener(PUBLIC, app.modules)
        self.champions = Champions(app, PRINTS, self.view, opened, Counted(), self.tell)

    def tell(self, shard: int, _: str, why: str) -> None:
        """Keep an alert."""
        self.told.append((shard, why))

    def show(self, champion_publisher: tuple[str, int, bytes]) -> None:
        """Publish it for both shards, each with a header of its own."""
        stamp, at_ms, sealed = champion_publisher
        head, payload = unseal(PUBLIC, sealed)
        for shard in range(2):
            self.view.published[shard] = (stamp, at_ms)
            self.view.models[shard] = seal(PRIVATE, {**head, "shard": shard}, payload)

    def refresh(self) -> None:
        """See what is shown, and take it over."""

        async def taken() -> None:
            await self.champions.refresh()
            await self.champions.wait_until_adopted()

        asyncio.run(taken())


@pytest.fixture(scope="module")
def publications() -> list[tuple[str, int, bytes]]:
    """Two of one shard's, oldest first."""
    world = World(application(shards=2))
    shard = world.shard()
    assert shard.live is not None
    for _ in range(2):
        shard.turn()
    world.feed(shard, EVENT, {"event_id": "e", "features": {"x": 1}, "label": True})
    world.settle(shard)
    assert len(world.shown) == 2
    return [(f"{stamp}:{LIFE}", at_ms, sealed) for stamp, at_ms, sealed in world.shown]


@pytest.mark.parametrize(
    "stamp", ["rubbish", "", "0:1:2:3", "0:1:life", "-1:5", "1" * 5_000 + ":0", "0:" + "٣"]
)
def test_a_stamp_that_no_learner_writes_holds_up_its_own_shard_alone(
    stamp: str, publications: list[tuple[str, int, bytes]]
) -> None:
    """The shards after it are served, and one alert says so, however often it is seen."""
    predictor = Predictor()
    predictor.show(publications[-1])
    predictor.view.published[0] = (stamp, 0)
    for _ in range(3):
        predictor.refresh()
    assert [champion is not None for champion in predictor.champions.current] == [False, True]
    assert predictor.told == [(0, "its stamp in Redis is not <epoch>:<seq>:<life>: no learner wrote it")]
    assert "no learner wrote it" in predictor.champions.lacking()[0]


@pytest.mark.parametrize(
    ("newer", "which"),
    [("999:0", "newer than"), ("0:0:aa", "of another life than"), ("999:0:aa", "of another life than")],
)
def test_an_old_publication_under_a_newer_stamp_is_refused_once(
    newer: str, which: str, publications: list[tuple[str, int, bytes]]
) -> None:
    """Its own stamp is signed; it is neither served nor read again while Redis shows the same."""
    predictor = Predictor()
    _, at_ms, old = publications[0]
    predictor.show((f"{newer}:{LIFE}" if newer.count(":") == 1 else newer, at_ms, old))
    for _ in range(3):
        predictor.refresh()
    assert predictor.champions.current == [None, None]
    assert predictor.view.asked == [0, 1]
    assert f"{which} the signed one, 0:0:{LIFE}" in predictor.told[0][1]
    predictor.show(publications[1])
    predictor.refresh()
    assert predictor.champions.ready


def test_what_keeps_the_view_away_is_told_once_and_is_the_reason_of_being_not_ready() -> None:
    """One line when it goes, one when it is back; it is not the learner that is missing."""
    predictor, looks = Predictor(), list[tuple[bool, str]]()
    coming = [True, True, False, False]

    def reachable(up: bool) -> None:
        looks.append((up, predictor.champions.lacking()[0]))
        if not coming:
            raise asyncio.CancelledError
        predictor.view.down = coming.pop(0)

    predictor.view.down = True
    with structlog.testing.capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        asyncio.run(keep_fresh(predictor.champions, 0, reachable))
    assert [up for up, _ in looks] == [False, False, False, True, True]
    assert [line["event"] for line in logs] == ["the view does not answer", "the view answers again"]
    assert "Redis does not answer" in looks[1][1]
    assert looks[-1][1] == "shard 0 has no verified model yet"
