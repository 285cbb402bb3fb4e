"""What a shard tells of its own condition: once, in the alerts, whatever else goes wrong."""

from __future__ import annotations

import structlog
from river import base

from stream_app.application import Snapshots
from stream_app.errors import Halted
from stream_app.learner.reports import sum_up
from stream_app.learner.shard import Phase, Shard
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT


class Odd(base.Classifier):
    """It never learns."""

    def predict_one(self, x: object, **kwargs: object) -> bool:
        return True

    def learn_one(self, x: object, y: object) -> None:
        raise RuntimeError("no lesson")


def event(world: World, shard: Shard, n: int) -> None:
    """One event, committed."""
    world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": n}, "label": n % 2 == 0})


def saved(world: World, shard: Shard) -> None:
    """A snapshot attempt of a shard that has something to save, and the statistics after it."""
    assert shard.live is not None
    shard.live.leave()
    world.settle(shard)


def test_a_snapshot_that_fails_is_told_once_until_one_succeeds() -> None:
    """A full disk is an alert with its error; a second failure is none, one after a success is."""
    world = World(application())
    shard = world.shard()
    for n, error in enumerate((OSError("no space left"), OSError("still none"), None, ValueError("a set"))):
        world.store_error = error
        event(world, shard, n)
        saved(world, shard)
    assert [alert["evidence"]["error"] for alert in world.alerts("snapshot-failed")] == [
        "OSError: no space left",
        "ValueError: a set",
    ]
    assert {alert["severity"] for alert in world.alerts("snapshot-failed")} == {"warning"}
    assert [alert["evidence"]["newest_seq"] for alert in world.alerts("snapshot-failed")] == [None, 3]
    assert len({alert["alert_id"] for alert in world.alerts("snapshot-failed")}) == 2


def test_snapshots_that_break_their_bound_are_told_once_until_they_keep_it() -> None:
    """A cost over max_cost of max_recovery is an alert, and again only after a cheap one."""
    world = World(application(snapshot=Snapshots(max_cost=0.1, max_recovery="10s")))
    shard = world.shard()
    for n, cost_s in enumerate((2.0, 2.0, 0.5, 3.0)):
        event(world, shard, n)
        world.dump_takes_s = cost_s
        saved(world, shard)
    told = world.alerts("snapshot-too-dear")
    assert [alert["evidence"]["cost_s"] for alert in told] == [2.0, 3.0]
    assert [alert["evidence"]["allowed_s"] for alert in told] == [1.0, 1.0]
    assert not world.alerts("snapshot-failed")


def test_alerts_stand_in_the_log_too() -> None:
    """Whoever watches a terminal sees what the topic holds, once, and at the end what became of it all."""
    world = World(application(challengers={"odd": lambda _: Odd()}))
    shard = world.shard()
    with structlog.testing.capture_logs() as logs:
        event(world, shard, 0)
        assert shard.live is not None
        sum_up(shard.live)
    (alert,) = world.alerts("challenger-failed")
    told = [line["message"] for line in logs if line["event"] == "alert"]
    assert told == [f"a model raised: see {alert['alert_id']}"]
    (last,) = [line for line in logs if line["event"] == "so far"]
    assert (last["predictions"], last["learned"], last["dead_letters"]) == (1, 1, 0)


def test_a_silent_input_is_told() -> None:
    """An input that gave neither records nor its end for seconds is named in a critical alert."""
    world = World(application())
    shard = world.shard()
    assert shard.live is not None
    shard.live.merge.quiet = [True, True, False]
    event_time = world.clock.now_ms()
    shard.live.merge.buffers[EVENT].append(world.record(EVENT, event_time, {"event_id": "e", "features": {}}))
    world.settle(shard)
    world.settle(shard)
    (alert,) = world.alerts("input-silent")
    assert (alert["severity"], alert["evidence"]) == ("critical", {"inputs": ["labels"]})


def test_a_halt_is_told_as_an_alert_with_reason_and_remedy() -> None:
    """A shard that stops for good writes one critical alert and nothing else; its id is the reason's."""
    world = World(application())
    halted = Halted("inputs were cut", "Restore them")
    ids = set()
    for _ in range(2):
        shard = world.shard()
        written = len(world.written)
        shard.halt(halted)
        assert shard.phase is Phase.HALTED
        assert [send.topic for send in world.written[written:]] == ["alerts"]
        assert shard.finish(last_words=True)
        alert = world.alerts("shard-halted")[-1]
        assert alert["severity"] == "critical"
        assert alert["evidence"] == {"reason": "inputs were cut", "remedy": "Restore them"}
        ids.add(alert["alert_id"])
    assert len(ids) == 1
    assert len(world.journal) == 1


def test_a_halt_that_cannot_be_told_is_a_halt_all_the_same() -> None:
    """With the broker down the log alone tells both; the shard stands, its reason kept."""
    world = World(application())
    shard = world.shard()
    world.down = True
    with structlog.testing.capture_logs() as logs:
        shard.halt(Halted("inputs were cut", "Restore them"))
    assert shard.phase is Phase.HALTED
    assert str(shard.refusal) == "inputs were cut. Restore them"
    assert shard.finish(last_words=True)
    assert [line["event"] for line in logs] == [
        "shard",
        "shard halted",
        "the alert about the halt could not be written",
    ]
