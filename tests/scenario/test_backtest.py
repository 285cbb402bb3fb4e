"""A backtest serves what a live shard would have served of the same records, and what bare River would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from river import datasets, linear_model, naive_bayes, preprocessing
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from stream_app import features as f
from stream_app.adapters.pickled import dump, refill_sets
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Application, Blend, Labels, SwapPolicy
from stream_app.cli.backtest.boosted import Boosted
from stream_app.cli.backtest.records import records
from stream_app.cli.produce.reading import Options, Reading, read
from stream_app.learner.history.backtest import ALONE, Account, Beside, Played, backtest
from stream_app.learner.history.breakdown import Breakdown
from stream_app.learner.history.lines import LAST_LABEL, SERVED, Storage
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
    account = Account(app, 0, storage(app), Breakdown(app, ()), ALONE)
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


def test_slices_and_bins_hold_every_scored_prediction_once() -> None:
    """By a feature's values or quarters; their means are those of all."""
    app = definition(features=[f.count(window="1h")])
    reading = read(app, PHISHING, Options("is_popular", label="label", label_delay="20"))
    found = backtest(
        app,
        records(reading, app.shards),
        2 * len(reading.rows),
        storage(app),
        beside=Beside(["https", "count_1h", "nowhere"]),
    )
    served = found.lines[0].scores
    for column in ("https", "count_1h", "nowhere"):
        parts = [one.scores for one in found.slices if one.column == column]
        assert sum(part["n"] for part in parts) == served["n"]
        right = sum(part["n"] * part["accuracy"] for part in parts)
        assert right / served["n"] == pytest.approx(served["accuracy"])
    values = {
        one.column: [other.value for other in found.slices if other.column == one.column]
        for one in found.slices
    }
    assert set(values["https"]) == {"0.0", "0.5", "1.0"}
    assert values["count_1h"] == ["lowest quarter", "second quarter", "third quarter", "highest quarter"]
    assert values["nowhere"] == ["absent"]
    assert sum(one.n for one in found.calibration) == served["n"]
    positive = sum(bool(row["label"]) for row in reading.rows[20:])
    came = sum(one.n * one.share for one in found.calibration)
    assert came == pytest.approx(positive, abs=20)
    assert all(one.low <= one.mean <= one.high for one in found.calibration)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads of scikit-learn that wait for each other take minutes on a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("late", [0, 30])
def test_boosted_trees_answer_with_the_newest_fit_before_an_event(late: int) -> None:
    """As a loop that fits and predicts row by row does; labels that are late are learned late."""
    rows = list(datasets.Phishing())[:400]
    app = definition(swap=SwapPolicy(policy="never"))
    options = Options(None, label="label", label_delay=str(late), limit=len(rows)) if late else None
    reading = read(app, PHISHING, options or Options(None, inline_label="label", limit=len(rows)))
    rival = Boosted(100, classify=True)
    n = len(rows) * (2 if late else 1)
    found = backtest(app, records(reading, app.shards), n, storage(app), beside=Beside((), {"it": rival}))
    names, answers, known, model = list(rows[0][0]), dict[int, bool](), list[int](), None
    for i in range(len(rows) + late):
        if late and i >= late:
            known.append(i - late)
            model = fitted(rows, names, known) or model
        if i < len(rows):
            if model is not None:
                answers[i] = bool(model.predict([[rows[i][0][name] for name in names]])[0])
            if not late:
                known.append(i)
                model = fitted(rows, names, known) or model
    line = next(line for line in found.lines if line.name == "it")
    right = sum(answers[i] == rows[i][1] for i in answers)
    assert (line.scores["n"], line.scores["accuracy"]) == (len(answers), right / len(answers))
    assert len(answers) == len(rows) - 100 - late + bool(late)


def fitted(rows: list[Any], names: list[str], known: list[int]) -> Any:
    """A fit on the rows whose labels are known, where one is due."""
    if len(known) % 100:
        return None
    model = HistGradientBoostingClassifier(random_state=0, early_stopping=False)
    return model.fit([[rows[j][0][name] for name in names] for j in known], [rows[j][1] for j in known])


def test_boosted_trees_take_categories_missing_values_and_targets() -> None:
    """Of regressions and of classes that are strings; one class alone is not fitted."""
    for classify in (True, False):
        rival = Boosted(50, classify=classify)
        for n in range(400):
            row: dict[str, Any] = {"city": "abc"[n % 3], "n": n % 5, **({"rare": True} if n % 7 else {})}
            label = "abc"[n % 3] if classify else float(n % 3)
            rival.ask((0, n), row)
            rival.learn((0, n), row, label)
        rival.score()
        report = rival.scores.report()["rolling"]
        assert report["accuracy"] > 0.85 if classify else report["mae"] < 0.1  # the first fits see 50 rows
        assert report["n"] == 350
    alone = Boosted(50, classify=True)
    for n in range(120):
        alone.ask((0, n), {"x": n})
        alone.learn((0, n), {"x": n}, "always")
    alone.score()
    assert alone.scores.report()["cumulative"]["n"] == 0
