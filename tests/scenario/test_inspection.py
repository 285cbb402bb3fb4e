"""A learner looks now and then whether its topics are still there."""

from __future__ import annotations

import pytest

from stream_app.errors import Halted
from stream_app.learner.dependencies import Inspection
from stream_app.learner.loop import Learner
from stream_app.learner.topic_inspection import INSPECT_EVERY_S
from tests.scenario.fake_outside import FINGERPRINT, World
from tests.scenario.shard_driver import application

GONE = Halted("topic a.events was deleted while the learner ran", "Stop every learner")


def inspected(learner: Learner, world: World) -> None:
    """Two turns of the loop's, an interval later: one asks, one takes the answer."""
    world.clock.now_s += INSPECT_EVERY_S
    learner.check_topics()
    learner.check_topics()


@pytest.mark.parametrize("how", ["live", "failed", "revoked"])
def test_a_topic_that_is_gone_halts_every_shard_with_an_alert(how: str) -> None:
    """Also where a shard failed by it already, or the group took the shards of the deleted topic away."""
    world = World(application())
    learner = Learner(world.deps, FINGERPRINT)
    learner.assigned([0])
    while learner.shards[0].live is None:
        learner.shards[0].turn()
    inspected(learner, world)
    if how == "revoked":
        learner.revoked([0], lost=False)
    elif how == "failed":
        learner.shards[0].fail(RuntimeError("unknown topic"))
    world.topics_found = Inspection(GONE)
    with pytest.raises(Halted, match="was deleted while the learner ran"):
        inspected(learner, world)
    (alert,) = world.alerts("shard-halted")
    assert alert["evidence"] == {"reason": GONE.message, "remedy": GONE.remedy}


def test_settings_that_endanger_a_promise_are_an_alert_while_the_learner_runs() -> None:
    """Raised once while they last, and again after they were set back."""
    world = World(application())
    learner = Learner(world.deps, FINGERPRINT)
    learner.assigned([0])
    while (live := learner.shards[0].live) is None:
        learner.shards[0].turn()
    compacted = "topic a.events: cleanup.policy is compact, declared is delete; fix: set it back"
    seen = []
    for unsafe in ((), (compacted,), (compacted,), (), (compacted,)):
        world.topics_found = Inspection(unsafe=unsafe)
        inspected(learner, world)
        seen.append(len(live.runtime_alerts.drain()))
    assert seen == [0, 1, 0, 0, 1]
