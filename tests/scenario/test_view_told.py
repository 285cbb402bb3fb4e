"""What the log says of a view that cannot be written: what to do, and once."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from stream_app import features as f
from stream_app.adapters.redis_view import RedisView
from stream_app.learner.loop import Learner
from stream_app.learner.shard import Phase
from tests.scenario.fake_outside import FINGERPRINT, World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT


def world(answer: str) -> World:
    """A world whose view answers so from the start."""
    made = World(application())
    made.view_answer = answer
    return made


def test_a_newer_stamp_in_redis_stops_the_view_and_not_the_learning() -> None:
    """The shard stays live and predicts; one alert and one line name the keys that are in the way."""
    fenced = world("fenced")
    with structlog.testing.capture_logs() as logs:
        shard = fenced.shard()
        for n in range(20):
            fenced.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": 1}})
    assert (shard.phase, len(fenced.predictions)) == (Phase.LIVE, 20)
    (alert,) = fenced.alerts("view-fenced")
    client: Any = type("NoClient", (), {"register_script": lambda *_: None})()
    assert alert["evidence"]["keys"] == f"{RedisView(client, 'a', 0, 1).tag}:*"
    assert alert["evidence"]["keys"] in alert["message"]
    assert [line["log_level"] for line in logs if "carries a newer stamp" in line["event"]] == ["critical"]
    assert fenced.alerts("view-stale") == []


def test_a_view_is_rebuilt_once_the_newer_stamp_is_gone() -> None:
    """Whole, with what was committed meanwhile; another fence later is another alert."""
    made = World(application(features=[f.count(window="1m")]))
    shard = made.shard()
    made.feed(shard, EVENT, {"event_id": "e", "features": {"x": 1}}, b"before")
    made.view_answer = "fenced"
    made.feed(shard, EVENT, {"event_id": "f", "features": {"x": 1}}, b"meanwhile")
    assert shard.live is not None
    assert shard.live.view_writer.fenced
    assert not shard.live.view_writer.blobs
    rebuilt, sealed = len(made.rebuilt), list(made.sealed)
    made.view_answer = "ok"
    for _ in range(5):
        made.settle(shard)
    assert shard.live.view_writer.caught_up
    keys = {key for blobs in made.rebuilt[rebuilt:] for key in blobs}
    assert keys == {"before", "meanwhile"}
    assert made.sealed[len(sealed) :][0] == ("rebuild", shard.live.processor.view_stamp), (
        "no write seals it before"
    )
    made.view_answer = "fenced"
    made.feed(shard, EVENT, {"event_id": "g", "features": {"x": 1}})
    made.settle(shard)
    assert len(made.alerts("view-fenced")) == 2


def test_an_idle_shard_raises_the_alert_too() -> None:
    """The fence itself makes statistics due, which carry the alert."""
    made = world("ok")
    shard = made.shard()
    made.settle(shard)
    made.view_answer = made.shelf_answer = "fenced"
    for _ in range(5):
        made.settle(shard)
    assert len(made.alerts("view-fenced")) == 1


@pytest.mark.parametrize("answer", ["fenced", "down"])
def test_an_idle_exit_ends_or_says_what_it_waits_for(answer: str) -> None:
    """With a fenced view it ends; for one that does not answer it waits, and the log says so."""
    made = world(answer)
    learner = Learner(made.deps, FINGERPRINT, exit_when_idle_s=1.0)
    learner.joined, learner.shards[0] = True, made.shard()
    shard = learner.shards[0]
    made.feed(shard, EVENT, {"event_id": "e", "features": {"x": 1}})
    with structlog.testing.capture_logs() as logs:
        for _ in range(20):
            made.clock.now_s += 1.0
            shard.turn()
            learner.check_end()
    waiting = [line["waits_for"] for line in logs if line["event"] == "the exit waits"]
    assert learner.stopping.is_set() is (answer == "fenced")
    assert waiting == ([] if answer == "fenced" else [{"0": "the view in Redis"}])


def test_a_rebuild_is_told_when_it_begins_and_when_it_is_done() -> None:
    """While Redis is down it begins anew each second: that is one line, the next after a whole view."""
    down = world("down")
    shard = down.shard()
    with structlog.testing.capture_logs() as logs:
        down.feed(shard, EVENT, {"event_id": "e", "features": {"x": 1}})
        for _ in range(10):
            down.settle(shard)
        down.view_answer = "ok"
        down.settle(shard)
        down.view_answer = "behind"
        down.feed(shard, EVENT, {"event_id": "f", "features": {"x": 1}})
        down.view_answer = "ok"
        down.settle(shard)
    told = [line["event"] for line in logs if line["event"].startswith("view")]
    assert told == ["view rebuild", "view rebuilt", "view rebuild", "view rebuilt"]


def test_a_rebuild_deletes_what_no_longer_lives() -> None:
    """A blob of an entity that was forgotten while Redis was away, or of an earlier life of the name."""
    made = World(application(features=[f.count(window="1m")]))
    made.view_keys = ["gone", "k"]
    shard = made.shard()
    made.feed(shard, EVENT, {"event_id": "e", "features": {"x": 1}})
    made.settle(shard)
    written = {key: blob is not None for blobs in made.rebuilt for key, blob in blobs.items()}
    assert written == {"k": True, "gone": False}


def test_a_view_that_is_lost_while_nothing_happens_is_written_anew() -> None:
    """A flush is found out within two seconds, though no event comes; looking keeps no idle exit waiting."""
    made = World(application(features=[f.count(window="1m")]))
    shard = made.shard()
    made.feed(shard, EVENT, {"event_id": "e", "features": {"x": 1}})
    made.settle(shard)
    before = len(made.rebuilt)
    assert shard.live is not None
    assert shard.live.view_writer.caught_up
    made.view_answer = "behind"
    made.clock.now_s += 2.0
    shard.turn()
    assert shard.live.view_writer.caught_up
    shard.turn()
    made.view_answer = "ok"
    for _ in range(4):
        shard.turn()
    assert [sorted(blobs) for blobs in made.rebuilt[before:] if blobs] == [["k"]]
    assert shard.live.view_writer.caught_up
