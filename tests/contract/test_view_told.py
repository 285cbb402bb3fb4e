"""What the log says of a view that cannot be written: what to do, and once."""

from __future__ import annotations

from typing import Any

import structlog

from stream_app import features as f
from stream_app.adapters.redis_view import RedisView
from tests.contract.fake_outside import World
from tests.contract.shard_driver import application
from topics.envelope import EVENT


def world(answer: str) -> World:
    """A world whose view answers so from the start."""
    made = World(application())
    made.view_answer = answer
    return made


def test_a_view_that_is_newer_than_the_journal_names_the_keys_to_delete() -> None:
    """A newer stamp fences each new writer: its log line names the keys that are in the way."""
    fenced = world("fenced")
    shard = fenced.shard()
    with structlog.testing.capture_logs() as logs:
        fenced.settle(shard)
    failed = next(line for line in logs if line["event"] == "shard failed")
    assert "the view carries a newer stamp than 0:0" in failed["error"]
    client: Any = type("NoClient", (), {"register_script": lambda *_: None})()
    assert f"{RedisView(client, 'a', 0, 1).tag}:*" in failed["error"]


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
    assert shard.live.publisher.caught_up
    made.view_answer = "behind"
    made.clock.now_s += 2.0
    shard.turn()
    assert shard.live.publisher.caught_up
    shard.turn()
    made.view_answer = "ok"
    for _ in range(4):
        shard.turn()
    assert [sorted(blobs) for blobs in made.rebuilt[before:] if blobs] == [["k"]]
    assert shard.live.publisher.caught_up
