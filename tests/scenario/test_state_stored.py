"""What a shard remembers goes into a snapshot whatever its size, and across an upgrade."""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drift.detectors import CATEGORICAL, MAKERS
from stream_app import features as f
from stream_app.adapters.pickled import dump
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Detect, Limits
from stream_app.learner.history.migrate import adopt
from stream_app.learner.recovery.snapshots import state_digest
from stream_app.state.shard import Counters, ShardState
from tests.scenario.shard_driver import ShardDriver, application

MANY = 1_200  # strings of a feature


class FindsSets(pickle.Pickler):
    """Collects the sets below an object."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.found: list[Any] = []

    def persistent_id(self, obj: Any) -> None:
        if type(obj) in (set, frozenset):
            self.found.append(obj)


def filled(strings: int) -> ShardDriver:
    """A shard that has seen so many strings of one feature; a little of all else that it can remember."""
    shard = ShardDriver(
        application(
            champion=lambda seed: NoModel(),
            challengers={"other": lambda seed: NoModel()},
            features=[f.count("1h"), f.distinct("city", "1h")],
            drift=[Detect(name, "features" if name in CATEGORICAL else "loss") for name in MAKERS],
            limits=Limits(max_pending=3),
        )
    )
    for n in range(strings):
        assert shard.event(f"e{n}", {"city": f"city {n * 7919}", "x": n}, key=f"k{n}") is None
        assert n % 3 or shard.label(f"e{n}", n % 2 == 0, key=f"k{n}") is None
    shard.label("early", True)
    shard.command("pause")
    return shard


class NoModel:
    """Remembers nothing, so that what is looked at is ours."""

    def predict_proba_one(self, x: dict[str, Any]) -> dict[bool, float]:
        return {True: 0.5, False: 0.5}

    def predict_one(self, x: dict[str, Any]) -> bool:
        return True

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        pass


@pytest.mark.timeout(60)
def test_a_feature_of_many_strings_can_be_saved() -> None:
    """Hundreds of distinct strings of one feature come back from a snapshot as they were."""
    state = filled(MANY).state
    again: ShardState = unpickle(dump(state), (__name__,))
    assert len(again.categories["city"]) == MANY
    assert list(again.categories["city"]) == list(state.categories["city"])
    assert state_digest(again) == state_digest(state)


def test_no_set_is_part_of_a_shard_s_own_state() -> None:
    """Sets are looked for in models alone, so no detector and no store of ours may hold one."""
    finder = FindsSets()
    finder.dump(filled(20).state)
    assert finder.found == []


def test_what_was_told_once_stays_told_across_an_upgrade() -> None:
    """The flags of alerts that are raised once for a shard are carried over, both alike."""
    old, new = filled(9).state, ShardState(application(), 0)
    old.misplaced = True
    assert old.pending_overflowed
    adopt(old, new, same_features=False, same_drift=False, closed=False)
    assert (new.misplaced, new.pending_overflowed) == (True, True)


def test_an_upgrade_takes_in_a_state_that_counted_less() -> None:
    """What was not counted then begins at nothing."""
    counters = Counters()
    counters.copy_from(SimpleNamespace(events=7, labels=3))
    assert {name: n for name, n in counters.as_dict().items() if n} == {"events": 7, "labels": 3}


def test_an_upgrade_takes_in_categories_that_were_sets() -> None:
    """A state of the version before holds sets: its strings are known to the new one, which can go on."""
    old, shard = filled(3).state, ShardDriver(application(champion=lambda seed: NoModel()))
    old.categories = {"city": {"Rome", "Oslo"}}  # type: ignore[dict-item]  # as an older version pickled it
    adopt(old, shard.state, same_features=False, same_drift=False, closed=False)
    assert shard.event("after", {"city": "Bonn", "x": 1}) is None
    assert set(shard.state.categories["city"]) == {"Rome", "Oslo", "Bonn"}


class Older:
    """A state of a version that did not know which features come."""

    def __init__(self) -> None:
        self.state = filled(3).state

    def __getattr__(self, name: str) -> Any:
        if name in ("presence", "full"):
            raise AttributeError(name)
        return getattr(self.state, name)


def test_an_upgrade_takes_in_a_state_that_counted_no_nulls() -> None:
    """An older one knows of no feature how often it came; one that does goes on counting."""
    old, shard = cast(ShardState, Older()), ShardDriver(application(champion=lambda seed: NoModel()))
    adopt(old, shard.state, same_features=False, same_drift=False, closed=False)
    assert shard.event("first", {"city": None, "x": 1}) is None
    after = ShardDriver(application(champion=lambda seed: NoModel()))
    adopt(shard.state, after.state, same_features=False, same_drift=False, closed=False)
    assert after.event("second", {"city": None, "x": 1}) is None
    assert after.state.presence.nulls == {"city": 2}
