"""A history is what a learner would have read: merged by time, without labels of the future, all counted."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from river import linear_model

from stream_app import features as f
from stream_app.adapters.pickled import dump, refill_sets
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Application, Labels
from stream_app.cli.bootstrap import check_names, history, name_of, readings_of, refuse_the_future, within
from stream_app.cli.produce.reading import Options
from stream_app.errors import UsageError
from stream_app.learner.history import mini_batch
from stream_app.learner.history.bootstrap import learn_history
from stream_app.learner.history.lines import Storage
from topics.envelope import EVENT, LABEL, Record

DAY_MS = 86_400_000
START_MS = 1_750_000_000_000
APP = Application(
    name="a",
    task="binary",
    champion=lambda seed: linear_model.LogisticRegression(),
    labels=Labels(horizon="30d"),
)
OPTIONS = Options("who", label="y", time_column="at", label_delay="7d")


def csv(folder: Path, name: str, first: int, days: int) -> Path:
    """One event a day."""
    lines = [
        f"k,{START_MS + day * DAY_MS},{day % 3},{'yes' if day % 2 else 'no'}"
        for day in range(first, first + days)
    ]
    file = folder / name
    file.write_text("\n".join(["who,at,x,y", *lines]) + "\n")
    return file


def test_files_are_merged_by_time_whatever_their_order(tmp_path: Path) -> None:
    """The late labels of one come among the events of the other."""
    files = [csv(tmp_path, "second.csv", 20, 20), csv(tmp_path, "first.csv", 0, 20)]
    stamped, left_out = within(history(readings_of(APP, files, OPTIONS), 1))
    records = [(shard, record) for shard, record in stamped if isinstance(record, Record)]
    assert len(records) == len(stamped)
    times = [record.time_ms for _, record in records]
    assert times == sorted(times)
    assert [record.offset for _, record in records if record.rank == EVENT] == list(range(40))
    assert left_out == 7, "labels of the last week would move log time a week ahead"
    assert max(times) == START_MS + 39 * DAY_MS
    assert sum(record.rank == LABEL for _, record in records) == 33


def test_what_is_refused_is_counted_with_its_reason(tmp_path: Path) -> None:
    """As a dead letter would be."""
    storage = Storage(dump, lambda payload: unpickle(payload, APP.modules), refill_sets)
    twice = readings_of(APP, [csv(tmp_path, "rows.csv", 0, 4)] * 2, OPTIONS._replace(label_delay="1d"))
    twice[1][0].rows[0]["x"] = 9.0
    (shard,) = learn_history(APP, within(history(twice, 1))[0], storage)
    assert shard.refusals()[0].startswith("refused as event-id-reused: 1; the first: ")
    assert "8 events" in shard.text()


def test_files_of_one_name_need_ids_of_their_own(tmp_path: Path) -> None:
    """Else all rows of the second would be refused."""
    files = [tmp_path / year / "data.csv" for year in ("2025", "2026")]
    with pytest.raises(UsageError, match=r"several files are called data\.csv"):
        check_names(files, None)
    check_names(files, "id")


def test_events_that_have_not_happened_are_refused(tmp_path: Path) -> None:
    """Log time would run ahead of every event to come."""
    file = csv(tmp_path, "rows.csv", 4_000, 2)
    with pytest.raises(UsageError, match="has not come yet"):
        refuse_the_future(within(history(readings_of(APP, [file], OPTIONS), 1))[0])


def test_a_history_s_name_says_how_it_was_read(tmp_path: Path) -> None:
    """Another option, file or time of writing is another history."""
    file = csv(tmp_path, "rows.csv", 0, 4)
    name = name_of(APP, [file], OPTIONS)
    assert name_of(APP, [file], OPTIONS) == name
    assert name_of(APP, [file], OPTIONS._replace(drop="x")) != name
    os.utime(file, (1, 1))
    assert name_of(APP, [file], OPTIONS) != name


def test_rows_between_the_first_and_the_last_are_learned_in_mini_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion is bare River's, fed rows, batches, and rows again; one that cannot learns row by row."""
    monkeypatch.setattr(mini_batch, "FIRST", 10)
    monkeypatch.setattr(mini_batch, "LAST", 15)
    app = replace(APP, challengers={"slow": lambda seed: linear_model.PAClassifier()})
    readings = readings_of(app, [csv(tmp_path, "rows.csv", 0, 100)], OPTIONS._replace(label_delay=None))
    rows = readings[0][0].rows
    storage = Storage(dump, lambda payload: unpickle(payload, app.modules), refill_sets)
    (shard,) = learn_history(app, within(history(readings, 1, together=True))[0], storage, mini_batch=30)
    state = shard.processor.core.state
    due = linear_model.LogisticRegression()
    for row in rows[:10]:
        due.learn_one({"x": row["x"]}, row["y"])
    for start, end in ((10, 40), (40, 70), (70, 85)):
        part = pd.DataFrame(rows[start:end])
        due.learn_many(part[["x"]], part["y"])
    for row in rows[85:]:
        due.learn_one({"x": row["x"]}, row["y"])
    assert dict(state.champion.model.weights) == dict(due.weights)
    assert shard.text().endswith("75 of them in mini-batches (slow: one by one)")
    assert [slot.learned for slot in state.slots] == [100, 100]
    counters = state.counters
    assert (counters.events, counters.predictions, counters.labels_learned) == (100, 100, 100)
    assert sum(state.class_counts.values()) == 100


class Fails(linear_model.PAClassifier):
    """It learns the first 30 rows."""

    rows = 0

    def learn_one(self, x: dict[Hashable, Any], y: Any) -> None:
        self.rows += 1
        if self.rows > 30:
            raise ValueError("no more")
        super().learn_one(x, y)  # type: ignore[no-untyped-call]


class FailsTogether(linear_model.LogisticRegression):
    """It learns the first two batches, the first on a copy."""

    batches = 0

    def learn_many(self, *rows: Any) -> None:
        self.batches += 1
        if self.batches > 2:
            raise ValueError("no more")
        super().learn_many(*rows)


@pytest.mark.parametrize("model", [Fails, FailsTogether])
def test_a_challenger_that_raises_in_a_mini_batch_is_out_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[Any]
) -> None:
    """As in the live step; the history is learned to its end."""
    monkeypatch.setattr(mini_batch, "FIRST", 10)
    monkeypatch.setattr(mini_batch, "LAST", 15)
    app = replace(APP, challengers={"bad": lambda seed: model()})
    readings = readings_of(app, [csv(tmp_path, "rows.csv", 0, 100)], OPTIONS._replace(label_delay=None))
    storage = Storage(dump, lambda payload: unpickle(payload, (*app.modules, __name__)), refill_sets)
    (shard,) = learn_history(app, within(history(readings, 1, together=True))[0], storage, mini_batch=20)
    assert [(slot.name, slot.failed) for slot in shard.processor.core.state.slots] == [
        ("champion", None),
        ("bad", "ValueError"),
    ]
    assert shard.processor.core.state.champion.learned == 100


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class_weights": {True: 2.0}}, "class_weights= weigh row by row"),
        ({"types": {"x": "number"}}, "types= and missing= are judged"),
        ({"features": [f.count(window="1h")]}, "features= are computed row by row"),
        ({"champion": lambda seed: linear_model.PAClassifier()}, "has no `learn_many`"),
        ({"champion": lambda seed: FailsTogether()}, "raised ValueError: no more, after"),
    ],
)
def test_what_cannot_be_learned_in_mini_batches_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    """Before anything is written, with what to leave out."""
    monkeypatch.setattr(mini_batch, "LAST", 15)
    monkeypatch.setattr(mini_batch, "FIRST", 10)
    app = replace(APP, **changes)
    readings = readings_of(app, [csv(tmp_path, "rows.csv", 0, 100)], OPTIONS)
    storage = Storage(dump, lambda payload: unpickle(payload, app.modules), refill_sets)
    records, _ = within(history(readings, 1, together=True))

    def learn() -> None:
        mini_batch.check_together(app)
        learn_history(app, records, storage, mini_batch=30)

    with pytest.raises(UsageError, match=said):
        learn()
