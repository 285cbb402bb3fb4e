"""The tables: bounded, and indifferent to records that come again or from far behind."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from stream_app.ops.alert_store import AlertStore, Tables
from stream_app.ops.history import FAR_MS
from topics.records import Alert, SnapshotStats, Stats, ViewStats

MINUTES, ALERTS, LETTERS = 5, 6, 4
Step = Callable[[AlertStore], Any]


def store(tables: Tables | None = None) -> AlertStore:
    """Over plain dictionaries."""
    return AlertStore(
        tables or Tables({}, {}, {}, {}, {}), "accuracy", minutes=MINUTES, alerts=ALERTS, letters=LETTERS
    )


def stats(shard: int, seq: int, time_ms: int) -> Stats:
    """A shard's statistics with nothing in them."""
    return Stats(
        shard,
        time_ms,
        "me",
        0,
        seq,
        0,
        {"predictions": seq},
        {},
        {},
        0,
        0,
        False,
        "champion",
        [],
        {},
        {},
        {},
        [],
        {},
        0,
        ViewStats(None, True),
        SnapshotStats(None, None, 0, 0.0, False),
        {},
    )


def alert(n: int) -> Alert:
    """The n-th, n ms old."""
    return Alert(f"id{n}", "drift", "info", 0, n, "", {})


def story() -> list[Step]:
    """What two shards, alerts with their deliveries, receipts and letters do to the tables."""

    def of(n: int) -> list[Step]:
        return [
            lambda kept: kept.stats(stats(n % 2, n, n * FAR_MS // 2 + 1)),
            lambda kept: kept.alert(alert(n), ["log"]),
            lambda kept: kept.model(f"0/{n}", {"version": n}, n),
            lambda kept: kept.model("0/champion", {"version": n}, 100 + n),
            lambda kept: kept.letter(n % 2, n, 1000 * n, {"reason": "malformed"}),
            lambda kept: kept.record_outcome(f"id{n}", "log", "sent"),
        ]

    return [step for n in range(12) for step in of(n)]


def test_records_that_come_again_leave_the_tables_as_they_were() -> None:
    """At random places the last few records are read again, as after a kill; the tables come out the same."""
    expected = store()
    for step in story():
        step(expected)
    for seed in range(20):
        dice, kept = Random(seed), store()
        steps, place = story(), 0
        while place < len(steps):
            steps[place](kept)
            place += 1
            if dice.random() < 0.2:
                kept = store(Tables(*(dict(table) for table in kept.tables)))
                kept.recall()
                place = max(0, place - dice.randrange(12))
        assert kept.tables == expected.tables, seed


def test_every_table_is_bounded() -> None:
    """Whatever comes, no more is kept than was asked for."""
    kept = store()
    for step in story():
        step(kept)
    sizes = [len(table) for table in kept.tables]
    assert sizes == [2, 2 * MINUTES, ALERTS, 13, LETTERS]
    assert set(kept.tables.alerts) == {f"id{n}" for n in range(6, 12)}
    assert set(kept.tables.letters) == {f"{n % 2}:{n}" for n in range(8, 12)}


def test_an_alert_that_nobody_was_told_of_never_falls_out() -> None:
    """Older than all that are kept, and many more than are kept."""
    kept = store()
    for n in range(10 * ALERTS, 0, -1):
        kept.alert(alert(n), ["log"])
    assert len(kept.tables.alerts) == 10 * ALERTS
    for n in range(1, 10 * ALERTS + 1):
        kept.record_outcome(f"id{n}", "log", "sent")
    assert set(kept.tables.alerts) == {f"id{n}" for n in range(9 * ALERTS + 1, 10 * ALERTS + 1)}


def test_the_newest_statistics_are_by_batch_and_the_history_keeps_the_first_of_a_minute() -> None:
    """A record from behind changes neither; an owner whose clock is behind is still newer by its batch."""
    kept = store()
    assert kept.stats(stats(0, 5, 10 * FAR_MS + 10))
    assert not kept.stats(stats(0, 4, 10 * FAR_MS + 20))
    assert kept.stats(stats(0, 6, 9 * FAR_MS))
    assert kept.tables.stats["0"]["stats"]["seq"] == 6
    assert kept.tables.history["0/0"]["time_ms"] == 10 * FAR_MS + 10


def test_a_receipt_from_an_earlier_offset_changes_nothing_and_a_tombstone_removes() -> None:
    """As the compacted topic; orders' outcomes are not kept."""
    kept = store()
    assert kept.model("0/1", {"a": 2}, 7)
    assert not kept.model("0/1", {"a": 1}, 6)
    assert not kept.model("0/command/x", {"outcome": "done"}, 8)
    assert kept.tables.models == {"0/1": {"offset": 7, "value": {"a": 2}}}
    kept.model("0/1", None, 9)
    assert kept.tables.models == {}


@pytest.mark.parametrize("outcome", ["sent", "silenced", "summarised"])
def test_what_became_of_an_alert_is_noted_once(outcome: str) -> None:
    """The first word counts; an alert that is not there has none."""
    kept = store()
    kept.alert(alert(1), ["log", "hook"])
    assert kept.record_outcome("id1", "log", outcome) == {"log": outcome, "hook": "due"}
    assert kept.record_outcome("id1", "log", "sent") is None
    assert kept.record_outcome("id2", "log", "sent") is None
