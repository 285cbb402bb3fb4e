"""`serve=Blend()`: all models answer as one, weighted by what they served, and a replay agrees."""

from __future__ import annotations

import pickle
import random
from itertools import pairwise
from typing import Any

import pytest
from river import dummy, linear_model, preprocessing, tree

from drift.signals import LOSS
from stream_app.application import Application, Blend, Labels, SwapPolicy
from stream_app.errors import UsageError
from stream_app.learner.publish.publication import publish
from stream_app.models.calls import reply
from stream_app.state.blend import BLEND
from stream_app.state.published import bind_published
from stream_app.state.slot import DECLARED
from tests.bayes import bayes
from tests.scenario.shard_driver import ShardDriver
from tests.scenario.swap_driver import SHORT, SwapDriver, wrong

QUICK = Blend(patience=200, floor=0.02)


def blended(**changes: Any) -> Application:
    """Naive Bayes, its opposite, and who repeats the last label, as one."""
    parts = {
        "name": "a",
        "task": "binary",
        "champion": bayes,
        "challengers": {"wrong": wrong, "last": lambda seed: dummy.NoChangeClassifier()},
        "serve": QUICK,
        "swap": SHORT,
    }
    return Application(**{**parts, **changes})


def test_a_prediction_names_the_blend_and_the_weights_that_carried_it() -> None:
    """They are of those that answered, and sum to 1; its probabilities are their mean."""
    shard = SwapDriver(blended(), turn=10_000)
    shard.feed(300)
    made = shard.predictions()[-1]
    assert made["model"] == {"name": BLEND, "version": 3}
    assert sum(made["weights"].values()) == pytest.approx(1.0)
    assert list(made["weights"]) == sorted(made["weights"], key=lambda name: -made["weights"][name])
    assert next(iter(made["weights"])) == "champion"
    first = shard.predictions()[0]
    assert (first["cold"], first["weights"]) == (True, {})


def test_the_blend_is_scored_on_what_it_served_beside_its_slots() -> None:
    """And as good as the best of them, though one of three is always wrong."""
    shard = SwapDriver(blended(), turn=10_000)
    shard.feed(600)
    assert shard.state.blend is not None
    own = shard.state.blend.slot.scores.report()["cumulative"]
    best = max(slot.scores.report()["cumulative"]["accuracy"] for slot in shard.state.slots)
    served = [made["prediction"] for made in shard.predictions()]
    assert own["n"] == len([one for one in served if one is not None])
    assert own["accuracy"] >= best - 0.01


def test_after_a_turn_of_the_concept_the_blend_follows_another_slot() -> None:
    """At once and without evidence: the opposite of what the champion learned is the best answer then."""
    shard = SwapDriver(blended(swap=SwapPolicy(policy="never")), turn=400)
    shard.feed(400)
    assert shard.state.serving == "champion"
    shard.feed(250)
    assert shard.state.serving == "wrong"
    (receipt,) = [one for one in shard.receipts("serving") if one["slot"] == "wrong"]
    assert receipt["why"] == "it has the most weight"
    assert receipt["parent"] == 1
    assert receipt["evidence"]["weights"]["wrong"] > receipt["evidence"]["weights"]["champion"]
    newest = shard.predictions()[-50:]
    assert all(made["weights"]["wrong"] > made["weights"]["champion"] for made in newest)


def test_candidates_of_a_search_join_the_blend_and_leave_it_when_nobody_needs_them() -> None:
    """An alarm swaps nothing: the candidates predict events, gain weight or are retired with a receipt."""
    shard = SwapDriver(blended(challengers={}), turn=300)
    shard.feed(1_600)
    candidates = {one["version"] for one in shard.receipts("candidate")}
    assert candidates
    assert shard.alerts("swap") == []
    assert any(name.startswith("champion-") for made in shard.predictions() for name in made["weights"])
    gone = [one for one in shard.receipts("retired") if one["version"] in candidates]
    assert any(one["why"].startswith("its weight was below") for one in gone)
    assert shard.state.blend is not None
    assert sorted(shard.state.blend.mixture.experts) == sorted(slot.version for slot in shard.state.slots)
    newest = shard.state.blend.slot.scores.report()["rolling"]
    assert newest["accuracy"] > 0.9


def test_candidates_never_outnumber_their_bound() -> None:
    """The lightest makes room."""
    policy = SwapPolicy(**{**vars(SHORT), "max_candidates": 3, "patience": 5_000})
    shard = SwapDriver(blended(challengers={}, swap=policy, serve=Blend()), turn=200)
    for turn in range(200, 2_000, 300):
        shard.turn = turn
        shard.feed(150)
        shard.turn = 0
        shard.feed(150)
        rivals = [s for s in shard.state.slots if s.kind != DECLARED and s.name != shard.state.serving]
        assert len(rivals) <= 3


def test_new_models_of_the_two_heaviest_factories_join_in_turns() -> None:
    """Without an alarm; each has a receipt, and the lightest makes room."""
    shard = SwapDriver(blended(serve=Blend(renew=50)), turn=10_000)
    shard.feed(601)
    joined = [one for one in shard.receipts("candidate") if one["why"] == "a new model joins every 50 labels"]
    origins = [one["slot"].rpartition("-")[0] for one in joined]
    assert len(joined) == 12
    assert set(origins[-4:]) == {"champion", "last"}
    assert all(one != other for one, other in pairwise(origins[-4:]))
    rivals = [slot for slot in shard.state.slots if slot.kind != DECLARED]
    assert len(rivals) == SHORT.max_candidates
    assert len([one for one in shard.receipts("retired") if "made room" in one["why"]]) == 12 - len(rivals)


def test_losses_of_models_that_come_and_go_raise_no_alert() -> None:
    """The blend's own and those of declared models do."""
    shard = SwapDriver(blended(serve=Blend(renew=50)), turn=300)
    shard.feed(600)
    declared = {"blend", "champion", "wrong", "last"}
    assert any(slot.kind != DECLARED for slot in shard.state.slots)
    about = {one["evidence"]["name"] for one in shard.alerts("drift") if one["evidence"]["signal"] == "loss"}
    assert "blend" in about
    assert about <= declared
    assert {name for signal, name in shard.state.monitors.watching if signal == LOSS} <= declared


@pytest.mark.parametrize(
    "changes", [{"serve": Blend(renew=0)}, {"serve": Blend(renew=50), "swap": SwapPolicy(policy="never")}]
)
def test_no_model_joins_where_the_definition_says_never(changes: dict[str, Any]) -> None:
    """Neither with renew=0, nor with a policy that starts nothing."""
    shard = SwapDriver(blended(**changes), turn=10_000)
    shard.feed(300)
    assert len(shard.state.slots) == 3


def test_an_operator_pins_a_slot_and_lets_the_blend_answer_again() -> None:
    """`promote` lets one slot answer alone until `rollback`; receipts name who asked for it."""
    shard = SwapDriver(blended(swap=SwapPolicy(policy="never")), turn=10_000)
    shard.feed(200)
    assert shard.order("rollback", "r0") == ("refused", "no slot is pinned: the blend serves")
    outcome, why = shard.order("promote", "p1", slot="wrong")
    assert (outcome, why.partition(" answers alone")[0]) == ("done", "wrong v2")
    shard.feed(50)
    assert shard.predictions()[-1]["weights"] == {"wrong": 1.0}
    assert shard.state.serving == "wrong"
    assert shard.order("rollback", "r1")[0] == "done"
    shard.feed(1)
    assert len(shard.predictions()[-1]["weights"]) == 3
    assert shard.state.serving == "champion"
    assert [one["why"] for one in shard.receipts("serving")][-2:] == [
        "pinned by me: test",
        "rolled back by me: test",
    ]


def test_a_challenger_that_fails_leaves_the_blend() -> None:
    """The others go on; the weights are theirs alone."""

    class Fails:
        def __init__(self) -> None:
            self.n = 0

        def predict_proba_one(self, _x: Any) -> dict[Any, float]:
            return {True: 0.5, False: 0.5}

        def predict_one(self, _x: Any) -> Any:
            return True

        def learn_one(self, _x: Any, _y: Any) -> None:
            self.n += 1
            if self.n > 100:
                raise ValueError("full")

    application = blended(challengers={"fails": lambda seed: Fails()}, serve=Blend(renew=110))
    shard = SwapDriver(application, turn=10_000)
    shard.feed(105)
    assert shard.predictions()[-1]["weights"] == {"champion": 1.0}
    shard.feed(300)
    assert len(shard.alerts("challenger-failed")) == 1
    assert {slot.origin for slot in shard.state.slots if slot.kind != DECLARED} == {"champion"}


class Asked:
    """A classifier that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def predict_proba_one(self, _x: Any) -> dict[Any, float]:
        self.asked += 1
        return {True: 0.6, False: 0.4}

    def predict_one(self, _x: Any) -> Any:
        return True

    def learn_one(self, _x: Any, _y: Any) -> None:
        """Keep nothing."""


@pytest.mark.parametrize(("delay", "times"), [(0, 1), (20, 2)])
def test_a_row_is_asked_about_once_more_where_its_label_comes_late(delay: int, times: int) -> None:
    """Only then: at once, the answer would be the same."""
    shard = ShardDriver(blended(challengers={"asked": lambda seed: Asked()}, drift=[]))
    n = 200
    for i in range(n + delay):
        if i < n:
            assert shard.event(f"e{i}", {"x": float(i % 7)}) is None
        if i >= delay:
            assert shard.label(f"e{i - delay}", (i - delay) % 7 > 3) is None
    slot = next(slot for slot in shard.state.slots if slot.name == "asked")
    assert slot.model.asked == pytest.approx(times * n, abs=3 * delay + 2)


def test_rows_that_were_served_cold_teach_the_blend_too() -> None:
    """Their labels come a long time later: what the slots say then is as good a lesson as any."""
    shard = ShardDriver(blended(drift=[]))
    n = 300
    for i in range(n):
        assert shard.event(f"e{i}", {"x": float(i % 7)}) is None
    for i in range(n):
        assert shard.label(f"e{i}", i % 7 > 3) is None
    assert shard.state.blend is not None
    mixture = shard.state.blend.mixture
    assert mixture.labels >= n - 2
    assert mixture.weight(1) > 2 * mixture.weight(2)  # the opposite of what it learned


TASKS: dict[str, tuple[dict[str, Any], Any]] = {
    "multiclass": (
        {
            "task": "multiclass",
            "champion": bayes,
            "challengers": {"tree": lambda seed: tree.HoeffdingTreeClassifier(grace_period=30)},
        },
        lambda x: "low" if x < -0.3 else "high" if x > 0.3 else "middle",
    ),
    "regression": (
        {
            "task": "regression",
            "champion": lambda seed: preprocessing.StandardScaler() | linear_model.LinearRegression(),
            "challengers": {"tree": lambda seed: tree.HoeffdingTreeRegressor(grace_period=30)},
        },
        lambda x: 1_000.0 * x * x,
    ),
    "threshold": (
        {
            "threshold": 0.8,
            "challengers": {"tree": lambda seed: tree.HoeffdingTreeClassifier(grace_period=30)},
        },
        lambda x: x > 0,
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_published_blend_answers_as_the_learner_does_to_the_bit(task: str) -> None:
    """Its models and weights are all that a predictor needs; late labels, and a snapshot in between."""
    parts, label = TASKS[task]
    shard = ShardDriver(blended(**{"labels": Labels(), "drift": [], **parts}))
    dice = random.Random(2)
    xs = [dice.uniform(-1, 1) for _ in range(400)]
    for n, x in enumerate(xs):
        published = pickle.loads(pickle.dumps(publish(shard.app, shard.processor)))
        assert shard.event(f"e{n}", {"x": x}) is None
        answer = shard.state.pending.items[f"e{n}"].served[0]
        if n % 20 == 19:
            calls = bind_published(published, shard.app.question)
            assert reply(calls, {"x": x}) == answer
        if n >= 10:
            assert shard.label(f"e{n - 10}", label(xs[n - 10])) is None
    assert shard.state.blend is not None
    scores = shard.state.blend.slot.scores.report()["cumulative"]
    assert scores["n"] > 300


def test_scores_of_anomaly_detectors_have_no_common_scale() -> None:
    """So a blend of them is refused, with the way out."""
    with pytest.raises(UsageError, match="no common scale"):
        blended(task="anomaly", labels=None, challengers={})
    with pytest.raises(UsageError, match="serve="):
        blended(serve="everybody")
