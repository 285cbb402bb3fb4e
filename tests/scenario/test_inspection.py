"""A learner looks now and then whether its topics are still there."""

from __future__ import annotations

import pytest

from stream_app.errors import Halted
from stream_app.learner.loop import INSPECT_EVERY_S, Learner
from tests.scenario.fake_outside import FINGERPRINT, World
from tests.scenario.shard_driver import application

GONE = Halted("topic a.events was deleted while the learner ran", "Stop every learner")


def inspected(learner: Learner, world: World) -> None:
    """Two turns of the loop's, an interval later: one asks, one takes the answer."""
    world.clock.now_s += INSPECT_EVERY_S
    learner.inspect()
    learner.inspect()


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
    world.topics_fault = GONE
    with pytest.raises(Halted, match="was deleted while the learner ran"):
        inspected(learner, world)
    (alert,) = world.alerts("shard-halted")
    assert alert["evidence"] == {"reason": GONE.message, "remedy": GONE.remedy}
