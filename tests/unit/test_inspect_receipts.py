"""Which receipts of the models topic count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson

from stream_app.inspect.receipts import receipts_of

RECEIPT = {
    "v": 1, "shard": 0, "slot": "champion", "version": 1, "parent": None, "why": "w",
    "trained_through": None, "scores": {},
}  # fmt: skip


def record(key: str | None, value: Any, partition: int = 0) -> Any:
    """A consumed record; a dictionary becomes JSON."""
    body = orjson.dumps(value) if isinstance(value, dict) else value
    return SimpleNamespace(key=key.encode() if key else None, value=body, partition=partition)


def test_the_newest_of_each_version_counts() -> None:
    """A later receipt replaces the earlier one; the champion's pointer stands by itself."""
    found = receipts_of(
        [
            record("0/1", RECEIPT),
            record("0/champion", RECEIPT),
            record("0/1", {**RECEIPT, "why": "later", "new_field": 7}),
            record("1/2", {**RECEIPT, "shard": 1, "version": 2}, partition=1),
        ]
    )
    assert found[0].versions[1].why == "later"
    assert found[0].champion is not None
    assert found[0].champion.why == "w"
    assert (list(found[1].versions), found[1].champion) == ([2], None)


def test_what_no_shard_could_have_written_is_passed_over() -> None:
    """Outcomes of commands, other partitions, keys that do not fit their receipt, and what is no receipt."""
    strange = [
        record("0/command/c", {"outcome": "done", "why": "w"}),
        record("0/1", RECEIPT, partition=1),
        record("0/2", RECEIPT),
        record("0/1", b"{"),
        record("0/1", None),
        record("0/one", RECEIPT),
        record(None, RECEIPT),
        record("0", RECEIPT),
        record("0/1", {**RECEIPT, "shard": 3}),
    ]
    assert receipts_of(strange) == {}
