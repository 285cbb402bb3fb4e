"""Which shards `status` calls halted, and which it says wait for their snapshots."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_app.cli.condition import newest

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
    assert newest("shard-halted", alert, record(stats_ms), record(journal_ms)) == why
    assert newest("shard-halted", alert, None, None) == "m"


@pytest.mark.parametrize("value", [orjson.dumps({**HALT, "type": "drift"}), b"7", b"{", None])
def test_what_is_no_halt_is_none(value: bytes | None) -> None:
    """Another alert was raised since, or somebody wrote what is none; no alert at all."""
    assert newest("shard-halted", record(10, value), record(1), record(1)) is None
    assert newest("shard-halted", None, record(1), record(1)) is None


def test_a_shard_waits_for_its_snapshots_until_anything_is_written_after_that_alert() -> None:
    """It is recovered by itself then: a wait is no halt, and a halt no wait."""
    alert = record(10, orjson.dumps({**HALT, "type": "snapshots-unreachable", "evidence": {"why": "away"}}))
    assert newest("snapshots-unreachable", alert, record(9), record(8)) == "m. fix"
    assert newest("snapshots-unreachable", alert, record(11), record(8)) is None
    assert newest("shard-halted", alert, record(9), record(8)) is None
