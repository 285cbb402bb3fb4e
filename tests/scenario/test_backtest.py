"""A backtest serves what a live shard would have served of the same records, and what bare River would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from river import datasets, linear_model, naive_bayes, preprocessing

from stream_app import features as f
from stream_app.adapters.pickled import dump, refill_sets
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Application, Blend, Labels, SwapPolicy
from stream_app.cli.backtest.records import records
from stream_app.cli.produce.reading import Options, Reading, read
from stream_app.learner.history.backtest import LAST_LABEL, SERVED, Account, Played, Storage, backtest
from stream_app.learner.recovery.snapshots import state_digest
from tests.scenario.fake_outside import World
from topics.envelope import RANKS, Record

PHISHING = Path("river:Phishing")


def logistic(seed: int) -> Any:
    """Scaled logistic regression."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def definition(**parts: Any) -> Application:
    """A logistic regression for two classes."""
    return Application(
        **{"name": "a", "task": "binary", "champion": logistic, "labels": Labels(horizon="30d"), **parts}
    )


def storage(app: Application) -> Storage:
    """As the command has it."""
    return Storage(dump, lambda payload: unpickle(payload, app.modules), refill_sets)


def played(app: Application, reading: Reading) -> Played:
    """The backtest of what was read."""
    return backtest(app, records(reading, app.shards), 2 * len(reading.rows), storage(app))


@pytest.mark.parametrize(
    ("late", "options"),
    [(0, Options(None, inline_label="label")), (7, Options(None, label="label", label_delay="7"))],
)
def test_its_accuracy_is_bare_river_s(late: int, options: Options) -> None:
    """Label i is known just before event i + late; until the first one nothing is answered."""
    app = definition(swap=SwapPolicy(policy="never"))
    found = played(app, read(app, PHISHING, options))
    model, rows, right, scored = logistic(0), list(datasets.Phishing()), 0, 0
    for i, (x, y) in enumerate(rows):
        if late and i >= late:
            model.learn_one(*rows[i - late])
        if i >= max(late, 1):
            right += model.predict_one(x) == y
            scored += 1
        if not late:
            model.learn_one(x, y)
    served, champion, last = found.lines
    assert (served.name, champion.name, last.name) == (SERVED, "champion", LAST_LABEL)
    assert (served.scores["n"], served.scores["accuracy"]) == (scored, right / scored)
    assert served.scores == champion.scores
    assert (found.events, found.labels, found.dead_letters) == (len(rows), len(rows), {})
    assert served.low is not None
    assert served.high is not None
    assert served.low < served.scores["accuracy"] < served.high


@pytest.mark.parametrize("serve", ["champion", Blend()])
def test_its_state_is_that_of_a_live_shard(serve: Any) -> None:
    """After the same records, with features of entities, a challenger and searches, to the bit."""
    app = definition(
        features=[f.count(window="1m")],
        challengers={"bayes": lambda seed: naive_bayes.GaussianNB()},
        serve=serve,
    )
    reading = read(app, PHISHING, Options("is_popular", label="label", label_delay="20", limit=400))
    account = Account(app, 0, storage(app))
    world = World(app)
    shard = world.shard()
    assert shard.live is not None
    given: list[Record] = []
    for _, record in records(reading, 1):
        account.step(record)
        given.append(record)
        world.inputs[record.rank].append(record)
    for rank in RANKS:
        shard.live.offer(rank, [record for record in given if record.rank == rank])
        shard.live.merge.end(rank, world.end(rank))
    for _ in range(40):
        world.settle(shard)
    live = shard.live.processor.core.state
    assert live.counters.events == 400
    assert state_digest(account.processor.core.state) == state_digest(live)


def test_shards_are_added_up() -> None:
    """Each has its own models; a line holds all of one name."""
    app = definition(shards=3)
    found = played(app, read(app, PHISHING, Options(None, inline_label="label")))
    served = found.lines[0]
    assert served.scores["n"] == found.events - 3
    assert {point.shard for point in found.curve} == {0, 1, 2}
