"""`stream_app.testing.Driver`: what users' own tests rest on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from river import base, dummy, naive_bayes

from stream_app import Application, Blend, Detect, Labels, SwapPolicy
from stream_app import features as f
from stream_app.learner.recovery.snapshots import state_digest
from stream_app.testing import Driver
from tests.scenario.fake_outside import World
from topics.envelope import EVENT, LABEL

PAGE = Path(__file__).parents[2] / "docs" / "definition.md"


def definition(**parts: Any) -> Application:
    """Naive Bayes for two classes."""
    common: dict[str, Any] = {
        "name": "a",
        "task": "binary",
        "champion": lambda seed: naive_bayes.GaussianNB(),
    }
    return Application(**{**common, "labels": Labels(horizon="1h"), **parts})


def examples() -> dict[str, Any]:
    """The tests that the page shows."""
    (block,) = re.findall(r"## To test it.*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(block, found)  # noqa: S102  it is our own page
    return {name: one for name, one in found.items() if name.startswith("test_")}


@pytest.mark.parametrize("name", sorted(examples()))
def test_the_tests_of_the_page_pass(name: str) -> None:
    """As they stand there."""
    examples()[name]()


def test_it_is_what_a_live_shard_does() -> None:
    """The same records give the same state, to the bit."""
    app = definition(features=[f.count(window="1m")], serve=Blend(), challengers={"last": last})
    driver, world = Driver(app), World(app)
    world.clock.now_s = driver.now_ms / 1000
    shard = world.shard()
    for n in range(60):
        driver.now_ms = world.clock.now_ms() + 1_500  # as `feed` stamps it
        value: dict[str, Any] = {"event_id": f"e{n}", "features": {"x": float(n % 5)}}
        driver.send("k", value["features"], f"e{n}")
        world.feed(shard, EVENT, value)
        if n >= 3:
            driver.now_ms = world.clock.now_ms() + 1_500
            driver.label("k", f"e{n - 3}", n % 5 > 2)
            world.feed(shard, LABEL, {"event_id": f"e{n - 3}", "label": n % 5 > 2})
    assert shard.live is not None
    assert state_digest(driver.shards[0].state) == state_digest(shard.live.processor.core.state)


def last(_seed: int) -> Any:
    """The last label."""
    return dummy.NoChangeClassifier()


class Fickle(base.Classifier):
    """Answers by how often it was asked in this process."""

    asked = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Nothing to learn."""

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """Otherwise each time."""
        Fickle.asked += 1
        return {True: 1 / Fickle.asked, False: 1 - 1 / Fickle.asked}


def test_a_kill_shows_what_does_not_replay() -> None:
    """And a model that does is none the wiser."""
    driver = Driver(definition(champion=lambda seed: Fickle()))
    for n in range(5):
        driver.send("k", {"x": 1.0}, label=n % 2 == 0)
    with pytest.raises(AssertionError, match="5 records since the snapshot came out otherwise"):
        driver.kill()
    sound = Driver(definition())
    for n in range(5):
        sound.send("k", {"x": 1.0}, label=n % 2 == 0)
        sound.snapshot() if n == 2 else sound.kill()
    assert sound.scores()["cumulative"]["n"] == 4


def test_time_orders_and_receipts() -> None:
    """A row expires with the next record after its horizon; a pause is an order; models have receipts."""
    driver = Driver(definition(labels=Labels(horizon="1h", on_timeout="label", default=False)))
    driver.send("k", {"x": 1.0})
    driver.advance("2h")
    assert driver.predictions[-1]["learned"] == 0
    assert driver.send("k", {"x": 2.0})["learned"] == 1
    (done,) = driver.command("pause")
    assert done["outcome"] == "done"
    (refused,) = driver.command("drop", slot="nobody")
    assert (refused["outcome"], "there is no slot" in refused["why"]) == ("refused", True)
    assert [one["slot"] for one in driver.receipts] == ["champion"]
    assert driver.serving() == "champion"
    assert isinstance(driver.model(), naive_bayes.GaussianNB)


def test_a_swap_is_seen_as_an_alert_and_a_receipt() -> None:
    """A challenger that is right takes over from a champion that repeats what was."""
    app = definition(
        champion=last,
        challengers={"bayes": lambda seed: naive_bayes.GaussianNB()},
        swap=SwapPolicy(min_labels=20),
        drift=[Detect("adwin")],
    )
    driver = Driver(app)
    for n in range(600):
        driver.send("k", {"x": float(n % 2)}, label=n % 2 == 0)
    assert driver.serving() == "bayes"
    assert [one["type"] for one in driver.alerts if one["type"] == "swap"] == ["swap"]
    assert [one["slot"] for one in driver.receipts if one["status"] == "serving"] == ["champion", "bayes"]


def test_a_repeat_is_answered_with_nothing() -> None:
    """As live: the same id within dedupe is not predicted again."""
    driver = Driver(definition())
    assert driver.send("k", {"x": 1.0}, "same")["event_id"] == "same"
    assert driver.send("k", {"x": 1.0}, "same") == {}
    assert len(driver.predictions) == 1


def test_keys_go_to_their_shards() -> None:
    """Each has a model of its own."""
    driver = Driver(definition(shards=3))
    for n in range(30):
        driver.send(f"k{n}", {"x": 1.0}, label=True)
    assert {made["shard"] for made in driver.predictions} == {0, 1, 2}
    driver.kill()
