"""Which shards `status` calls halted, and which it says wait for their snapshots."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_app.cli.condition import failing, idles, newest
from topics.journal import AttemptRecord, EpochRecord

HALT = {
    "v": 1, "alert_id": "a/0/shard-halted/1", "type": "shard-halted", "severity": "critical", "shard": 0,
    "time_ms": 1, "message": "m. fix", "evidence": {"reason": "m", "remedy": "fix"},
}  # fmt: skip


FAILING = {**HALT, "type": "shard-failing", "message": "the shard failed 3 times"}
EPOCH = EpochRecord(0, 0, {}, {}, "", [])


def attempt(number: int, record: tuple[str, int] | None = None) -> AttemptRecord:
    """The journal's newest record: an attempt."""
    return AttemptRecord(0, 7, "", number, {}, 5, record)


def record(timestamp: int, value: Any = None) -> Any:
    """A consumed record, written at that time."""
    return SimpleNamespace(timestamp=timestamp, value=value)


@pytest.mark.parametrize(
    ("stats_ms", "journal_ms", "why"), [(8, 9, "m"), (10, 10, "m"), (11, 9, None), (8, 11, None)]
)
def test_a_halt_stands_until_anything_is_written_after_it(
    stats_ms: int, journal_ms: int, why: str | None
) -> None:
    """A shard whose newest alert is its halt stands; later statistics or a later batch say it goes on."""
    alert = record(10, orjson.dumps(HALT))
    assert newest("shard-halted", alert, record(stats_ms), record(journal_ms)) == why
    assert newest("shard-halted", alert, None, None) == "m"


@pytest.mark.parametrize("value", [orjson.dumps({**HALT, "type": "drift"}), b"7", b"{", None])
def test_what_is_no_halt_is_none(value: bytes | None) -> None:
    """Another alert was raised since, or somebody wrote what is none; no alert at all."""
    assert newest("shard-halted", record(10, value), record(1), record(1)) is None
    assert newest("shard-halted", None, record(1), record(1)) is None


@pytest.mark.parametrize(
    ("held", "stats_age_s", "lag", "batch_age_s", "idle"),
    [
        (True, 9.0, 0, 600.0, True), (False, 9.0, 0, 600.0, False), (True, 90.0, 0, 600.0, False),
        (True, None, 0, 600.0, False), (True, 9.0, 1, 600.0, False), (True, 1.0, 0, 2.0, False),
    ],
)  # fmt: skip
def test_idle_is_a_learner_that_runs_and_has_nothing_to_do(
    held: bool, stats_age_s: float | None, lag: int, batch_age_s: float, idle: bool
) -> None:
    """Neither one that is gone or silent, nor one with records to read, nor one that just worked."""
    assert idles(held, stats_age_s, lag, batch_age_s) == idle


@pytest.mark.parametrize(
    ("newest", "why"),
    [
        (attempt(1), None),
        (attempt(2), "attempt 2 at 5 records after batch 0:7"),
        (attempt(3, ("events", 13)), "attempt 3 at events@13 after batch 0:7"),
        (EPOCH, None),
    ],
)
def test_a_repeated_attempt_says_that_the_shard_fails(newest: Any, why: str | None) -> None:
    """The first one says nothing, and a batch after it ends it."""
    assert failing(None, record(5), newest) == why
    assert failing(record(9, orjson.dumps(HALT)), record(5), newest) == why


@pytest.mark.parametrize(
    ("journal_ms", "newest", "why"),
    [(9, EPOCH, FAILING["message"]), (11, EPOCH, None), (11, attempt(1), FAILING["message"])],
)
def test_failures_that_no_record_caused_stand_until_a_batch_is_committed(
    journal_ms: int, newest: Any, why: str | None
) -> None:
    """An attempt after the alert is no success."""
    assert failing(record(10, orjson.dumps(FAILING)), record(journal_ms), newest) == why


def test_a_shard_waits_for_its_snapshots_until_anything_is_written_after_that_alert() -> None:
    """It is recovered by itself then: a wait is no halt, and a halt no wait."""
    alert = record(10, orjson.dumps({**HALT, "type": "snapshots-unreachable", "evidence": {"why": "away"}}))
    assert newest("snapshots-unreachable", alert, record(9), record(8)) == "m. fix"
    assert newest("snapshots-unreachable", alert, record(11), record(8)) is None
    assert newest("shard-halted", alert, record(9), record(8)) is None
