"""A live run whose snapshots, publications and latency guard come at random moments equals a bare replay.

Features come and go, a hunt is open most of the time, labels are late: whoever asks a model outside of
`step`, or lets it see something that a replay does not show it, is found here.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import river
from river import base, dummy, linear_model, naive_bayes, preprocessing, tree

from stream_app.application import Application, Blend, Detect, Labels, SwapPolicy
from stream_app.learner.history.verify import verify_shard
from tests.lengths import length
from tests.scenario.fake_outside import World
from topics.envelope import EVENT, LABEL

SEEDS = length(1, 1, 17)  # of each model; the long form: 1,000 in all
MORE = range(length(3, 3, 17))  # of each task, and of a model until one has hunted
EVENTS = 40
LATE = 4  # events between an event and its label
OUT = {
    # Refused: their answers depend on who was asked before.
    "FMClassifier", "FMRegressor", "FFMClassifier", "FFMRegressor", "FwFMClassifier", "FwFMRegressor",
    "HOFMClassifier", "HOFMRegressor",
    # Refused: unseeded inside, of several targets, or of another Python.
    "BanditClassifier", "BanditRegressor", "ISOUPTreeRegressor", "ZstdClassifier",
    # Need more than an inner model, or answer something else.
    "EntropySampler", "SuccessiveHalvingClassifier", "SuccessiveHalvingRegressor",
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {  # where River's own tests take what is slow to copy
    "HalfSpaceTrees": {"n_trees": 2, "height": 3, "window_size": 20},
    "LocalOutlierFactor": {"n_neighbors": 3},
    "AMFClassifier": {"n_estimators": 2},
    "AMFRegressor": {"n_estimators": 2},
}
HUNTING = SwapPolicy(min_labels=10, probation=20, cooldown=10, respawn=10, patience=40)


def makers() -> Iterator[tuple[str, str, Callable[[int], Any]]]:
    """Every model of River that River's own tests can make: name, task, factory."""
    found: dict[str, type] = {}
    for module in pkgutil.iter_modules(river.__path__):
        if module.name in ("datasets", "stream", "checks", "evaluate", "test_estimators"):
            continue
        for name, made in vars(importlib.import_module(f"river.{module.name}")).items():
            wanted = (base.Classifier, base.Regressor, base.AnomalyDetector)
            if inspect.isclass(made) and issubclass(made, wanted) and not inspect.isabstract(made):
                found[name] = made
    for name, made in sorted(found.items()):
        task = "anomaly" if issubclass(made, base.AnomalyDetector) else "binary"
        task = "regression" if issubclass(made, base.Regressor) else task
        if name not in OUT and (words := words_of(made)) is not None:
            yield name, task, made_by(made, words)


def words_of(made: Any) -> dict[str, Any] | None:
    """Arguments under which River tests it; None where it needs some that it does not say."""
    words: dict[str, Any] = SMALL.get(made.__name__, {})
    if not words and hasattr(made, "_unit_test_params"):
        words = next(iter(made._unit_test_params()), {})
    needed = [
        parameter
        for name, parameter in inspect.signature(made.__init__).parameters.items()
        if name not in ("self", *words) and parameter.default is inspect.Parameter.empty
    ]
    return None if any(parameter.kind is not parameter.VAR_KEYWORD for parameter in needed) else words


def made_by(made: Any, words: dict[str, Any]) -> Callable[[int], Any]:
    """A factory that passes the seed on."""
    seeded = "seed" in inspect.signature(made.__init__).parameters
    return lambda seed: made(**{**words, **({"seed": seed} if seeded else {})}).clone()


MODELS = list(makers())


def lived(app: Application, dice: random.Random) -> tuple[World, int]:
    """A shard that reads a random stream; what is due outside of the flow is due at random. And its hunts."""
    world = World(app)
    world.deps = replace(world.deps, tuning=replace(world.deps.tuning, publish_s=60.0))
    shard = world.shard()
    for n in range(EVENTS):
        live = shard.live
        assert live is not None, shard.refusal
        features: dict[str, Any] = {"x": dice.uniform(0, 1)}
        features |= {name: round(dice.uniform(0, 5)) for name in "abc" if dice.random() < 0.5}
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": features})
        if n >= LATE and app.labels is not None:
            label = dice.random() < 0.3 + 0.4 * (n // 30 % 2)
            told: Any = label if app.task == "binary" else 3.0 * label + dice.random()
            world.feed(shard, LABEL, {"event_id": f"e{n - LATE}", "label": told})
        if dice.random() < 0.1:
            live.snapshotter.worked(1e6, 1)  # a snapshot is due
        world.clock.now_s += dice.choice((0.0, 0.1, 30.0))  # a publication is due after a minute
    assert shard.live is not None
    hunts = shard.live.processor.core.state.policy.hunt
    shard.drop()
    return world, hunts


BLENDS: dict[str, dict[str, Any]] = {
    "binary": {
        "champion": lambda seed: naive_bayes.GaussianNB(),
        "challengers": {
            "tree": lambda seed: tree.HoeffdingTreeClassifier(grace_period=20),
            "last": lambda seed: dummy.NoChangeClassifier(),
        },
    },
    "regression": {
        "champion": lambda seed: preprocessing.StandardScaler() | linear_model.LinearRegression(),
        "challengers": {"tree": lambda seed: tree.HoeffdingTreeRegressor(grace_period=20)},
    },
}
LIGHT = Blend(patience=30, floor=0.1, renew=25)  # candidates come and go


@pytest.mark.parametrize("task", BLENDS)
def test_a_blend_comes_to_the_same_state_in_a_replay(task: str) -> None:
    """Its weights too, while candidates of searches join and leave it and snapshots are taken."""
    hunts = 0
    for seed in MORE:
        app = Application(
            name="a",
            task=task,
            labels=Labels(horizon="1d"),
            swap=HUNTING,
            drift=[Detect("page_hinkley", "loss", min_instances=5, threshold=0.2)],
            serve=LIGHT,
            explain=seed % 2,
            **BLENDS[task],
        )
        world, hunt = lived(app, random.Random(f"blend {task} {seed}"))
        hunts += hunt
        found = verify_shard(world.past())
        assert {one.source for one in found} >= {"earliest"}
        assert [(seed, one.source, one.equal, one.why) for one in found if not one.equal] == []
    assert hunts


@pytest.mark.soak(long=True)
@pytest.mark.parametrize(("name", "task", "factory"), MODELS, ids=[model[0] for model in MODELS])
def test_whatever_happens_outside_of_the_flow_a_replay_comes_to_the_same_state(
    name: str, task: str, factory: Callable[[int], Any]
) -> None:
    """From the beginning and from the newest snapshot: the digests of the journal, and one state."""
    labels = None if task == "anomaly" else Labels(horizon="1d")
    nervous = Detect("page_hinkley", "loss" if labels else "prediction", min_instances=5, threshold=0.2)
    hunts = 0
    for seed in MORE:
        if seed >= SEEDS and (hunts or task == "anomaly"):
            break
        dice = random.Random(f"{name} {seed}")
        app = Application(
            name="a",
            task=task,
            champion=factory,
            labels=labels,
            swap=HUNTING,
            drift=[nervous],
            explain=seed % 2,
        )
        world, hunt = lived(app, dice)
        hunts += hunt
        found = verify_shard(world.past())
        assert {one.source for one in found} >= {"earliest"}
        assert [(seed, one.source, one.equal, one.why) for one in found if not one.equal] == []
    assert hunts or task == "anomaly"
