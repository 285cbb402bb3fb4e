"""When a shard has nothing to do but wait for its commit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from stream_app.learner.outside import Tuning
from tests.contract.fake_outside import GROUP, World
from tests.contract.shard_driver import application
from topics.envelope import EVENT


class Held(Executor):
    """Does what it was given when it is let go."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.held.append((future, lambda: fn(*args, **kwargs)))
        return future

    def let_go(self) -> None:
        """The oldest is done."""
        future, work = self.held.pop(0)
        future.set_result(work())


def test_a_shard_rests_with_a_full_batch_behind_a_commit_and_not_for_one_just_sent() -> None:
    """It waits where nothing more may be stepped; once the full batch is sent, there is room again."""
    world, pool = World(application()), Held()
    live = world.shard().live
    assert live is not None
    live.tuning, live.pipeline.pool = Tuning(batch_ms=0, batch_records=1), pool

    def turn(n: int) -> tuple[Any, Any]:
        """One event more, and one turn; the commit in flight, and the one that is waited for."""
        event = {"event_id": f"e{n}", "features": {"x": n}}
        live.offer(EVENT, [world.record(EVENT, world.clock.now_ms() + n, event)])
        for rank in (0, 2):
            live.merge.end(rank, 0)
        live.turn(GROUP)
        return live.pipeline.flight, live.blocked_by

    first, waited_for = turn(0)
    assert first is not None
    assert waited_for is None
    assert turn(1) == (first, first)
    pool.let_go()
    second, waited_for = turn(2)
    assert second not in (None, first)
    assert waited_for is None
