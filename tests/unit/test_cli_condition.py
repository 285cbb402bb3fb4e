"""Which shards `status` calls halted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_app.cli.condition import halted, idles

HALT = {
    "v": 1, "alert_id": "a/0/shard-halted/1", "type": "shard-halted", "severity": "critical", "shard": 0,
    "time_ms": 1, "message": "m. fix", "evidence": {"reason": "m", "remedy": "fix"},
}  # fmt: skip


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
    assert halted(alert, record(stats_ms), record(journal_ms)) == why
    assert halted(alert, None, None) == "m"


@pytest.mark.parametrize("value", [orjson.dumps({**HALT, "type": "drift"}), b"7", b"{", None])
def test_what_is_no_halt_is_none(value: bytes | None) -> None:
    """Another alert was raised since, or somebody wrote what is none; no alert at all."""
    assert halted(record(10, value), record(1), record(1)) is None
    assert halted(None, record(1), record(1)) is None


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
