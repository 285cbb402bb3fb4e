"""Digests cover what every replay repeats: of an exception its type; a machine's fault decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import orjson
import pytest

from drift.monitors import Monitors
from stream_app.application import Application, Labels
from stream_app.errors import MACHINE
from stream_app.learner.recovery.snapshots import state_digest
from stream_app.learner.shard import Phase
from tests.bayes import bayes
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import START_MS, application
from tests.scenario.swap_driver import FIRST, SHORT, SwapDriver, definition
from tests.scenario.test_model_faults import HOUR_MS, Scripted
from topics.envelope import EVENT, RANKS

ADDRESSES = count(0x7F00)  # as a default repr quotes them: never the same again


class Quoting(Scripted):
    """A classifier whose errors quote an address."""

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        try:
            return super().predict_proba_one(x)
        except ZeroDivisionError:
            raise ValueError(f"cannot answer <object at {next(ADDRESSES):#x}>") from None

    def learn_one(self, x: dict[str, Any], y: Any, w: float = 1.0) -> None:
        try:
            super().learn_one(x, y)
        except KeyError:
            raise ValueError(f"cannot learn <object at {next(ADDRESSES):#x}>") from None

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError(f"cannot copy <object at {next(ADDRESSES):#x}>")


def quoting(_model: Any) -> Any:
    """A round trip that quotes one, too."""
    raise TypeError(f"cannot pickle <object at {next(ADDRESSES):#x}>")


def made_with(error: Callable[[], Exception]) -> Callable[[int], Any]:
    """A factory that makes the definition's champion and fails for candidates."""

    def factory(seed: int) -> Any:
        if seed != FIRST:
            raise error()
        return bayes(seed)

    return factory


def address() -> Exception:
    """An error whose words never come again."""
    return ValueError(f"<object at {next(ADDRESSES):#x}>")


EXPIRING = Labels(horizon="1h", on_timeout="label", default=False)
FRESH = replace(SHORT, candidates=("fresh",))
QUOTED: dict[str, tuple[Application, str]] = {
    "a challenger predicts": (
        definition(challengers={"weak": lambda seed: Quoting(seed, predicts=3)}), "no-answer",
    ),
    "a challenger learns": (
        definition(challengers={"weak": lambda seed: Quoting(seed, learns=3)}), "challenger-failed",
    ),
    "a candidate is made": (definition(champion=made_with(address), swap=FRESH), "candidate-refused"),
    "the champion is copied": (definition(champion=Quoting), "candidate-refused"),
    "a candidate is stored": (
        definition(swap=replace(FRESH, policy="immediate")), "candidate-refused",
    ),
    "a default label is learned": (
        definition(champion=lambda seed: Quoting(seed, learns=30), labels=EXPIRING), "champion-failed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", QUOTED)
def test_an_error_that_quotes_an_address_replays_equal(where: str) -> None:
    """Two runs whose models raised other words have equal digests and states; the alert has the words."""
    app, kind = QUOTED[where]
    runs = []
    for _ in range(2):
        shard = SwapDriver(app)
        shard.script([20])
        shard.processor.core.round_trip = quoting
        shard.feed(30)
        shard.event("quiet")
        shard.time_ms += HOUR_MS + 10
        shard.event("later")
        done = shard.order("promote", "p", slot="weak") if app.challengers else ("", "")
        (alert,) = shard.alerts(kind)
        assert "<object at 0x" in alert["message"]
        shard.state.monitors = Monitors(())  # the scripted ones hold the driver with all that was written
        journal = [closed.commit.journal for closed in shard.closed]
        runs.append((journal, state_digest(shard.state), (alert["message"], done)))
        if "challenger" in where:
            assert alert["evidence"]["error"] == "ValueError"
    first, second = runs
    assert first[:2] == second[:2]
    assert first[2] != second[2], "the two runs were to raise other words"


def test_the_type_of_an_error_is_hashed() -> None:
    """Another exception is another outcome: a replay that raises it differs from its journal."""
    digests = set()
    for error in (ValueError, TypeError):
        shard = SwapDriver(definition(champion=made_with(error), swap=FRESH))
        shard.script([20])
        shard.feed(30)
        digests.add(shard.processor.digest)
    assert len(digests) == 2


class Starved(Scripted):
    """A classifier that raises what a test sets, where it sets it; a replay meets nothing of it."""

    raises: type[Exception] | None = None
    where = ""

    def fault(self, where: str) -> None:
        if where == Starved.where and Starved.raises is not None:
            raise Starved.raises("the machine is full")

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        self.fault("predict")
        return super().predict_proba_one(x)

    def learn_one(self, x: dict[str, Any], y: Any, w: float = 1.0) -> None:
        self.fault("learn")
        super().learn_one(x, y)


@pytest.fixture
def starve() -> Any:
    """Sets what is raised, and takes it back afterwards."""

    def set_to(where: str, raises: type[Exception] | None) -> None:
        Starved.where, Starved.raises = where, raises

    yield set_to
    set_to("", None)


@pytest.mark.parametrize("error", MACHINE)
@pytest.mark.parametrize("slot", ["champion", "challengers"])
@pytest.mark.parametrize("where", ["predict", "learn"])
def test_a_fault_of_the_machine_commits_nothing(
    where: str, slot: str, error: type[Exception], starve: Callable[..., None]
) -> None:
    """The shard fails and recovers; the record is then predicted and learned as if nothing had been."""
    app = application(**{slot: Starved if slot == "champion" else {"b": Starved}})
    world = World(app)
    shard = world.shard()
    world.feed(shard, EVENT, {"event_id": "e0", "features": {"x": 0.0}, "label": True})
    committed = len(world.journal)
    starve(where, error)
    live = shard.live
    assert live is not None
    world.offer(live, EVENT, {"event_id": "e1", "features": {"x": 1.0}, "label": True})
    shard.turn()
    assert shard.phase is Phase.FAILED
    assert len(world.journal) == committed
    assert [send.topic for send in world.written if send.topic in ("dead_letters", "alerts")] == []
    starve("", None)
    again = world.shard()
    assert again.live is not None
    again.live.offer(EVENT, world.inputs[EVENT][1:])
    for rank in RANKS:
        again.live.merge.end(rank, len(world.inputs[rank]))
    world.settle(again)
    told = [orjson.loads(value) for value in world.predictions]
    assert [(one["event_id"], one["learned"]) for one in told] == [("e0", 0), ("e1", 1)]
    assert again.live.processor.core.state.champion.learned == 2
    assert again.live.processor.core.state.dead_by_reason == {}


class Copied(Starved):
    """A classifier whose copy needs memory that is not there."""

    def __deepcopy__(self, memo: Any) -> Any:
        self.fault("copy")
        return Copied(0)


def out_of_memory(_model: Any) -> Any:
    """A round trip for which there is no room."""
    raise MemoryError


@pytest.mark.parametrize("error", MACHINE)
def test_a_hunt_without_memory_refuses_no_candidate(
    error: type[Exception], starve: Callable[..., None]
) -> None:
    """A candidate that cannot be copied, made or stored for want of memory is a crash, not its verdict."""
    made = definition(champion=made_with(error), swap=FRESH)
    copied = definition(champion=Copied, swap=replace(SHORT, candidates=("kept",)))
    stored = definition(swap=replace(FRESH, policy="immediate"))
    starve("copy", error)
    for app in (made, copied, stored):
        shard = SwapDriver(app)
        shard.script([20])
        shard.processor.core.round_trip = out_of_memory
        with pytest.raises(error if app is not stored else MemoryError):
            shard.feed(30)
        assert shard.n == 20
        assert shard.time_ms < START_MS + 30


def test_no_sentence_is_hashed() -> None:
    """Alerts, receipts and outcomes of commands may be reworded without an upgrade."""
    from stream_app.learner.batch import emit

    shard = SwapDriver()
    shard.order("promote", "p", slot="nobody")
    shard.feed(700)
    assert shard.alerts("swap")
    assert shard.receipts("serving")
    known = {"message", "why", "runbook"}
    assert known == emit.SENTENCES
    for value in (*shard.written("alerts"), *shard.written("models")):
        hashed = emit.repeatable(value)
        assert hashed.keys() == value.keys() - known
        texts = [text for text in every_text(hashed) if " " in text]
        assert texts == [], "a sentence"


def every_text(value: Any) -> list[str]:
    """Each string inside."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in inner for text in every_text(part)]
