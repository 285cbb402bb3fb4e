"""A history is what a learner would have read: merged by time, without labels of the future, all counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from river import linear_model

from stream_app.adapters.pickled import dump, refill_sets
from stream_app.adapters.unpickler import unpickle
from stream_app.application import Application, Labels
from stream_app.cli.bootstrap import check_names, history, name_of, readings_of, refuse_the_future, within
from stream_app.cli.produce.reading import Options
from stream_app.errors import UsageError
from stream_app.learner.history.bootstrap import learn_history
from stream_app.learner.history.lines import Storage
from topics.envelope import EVENT, LABEL

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
    records, left_out = within(history(readings_of(APP, files, OPTIONS), 1))
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
