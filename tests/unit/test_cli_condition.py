"""Which shards `status` calls halted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from stream_app.cli.condition import halted

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
