"""What a shard counts."""

from __future__ import annotations

from stream_app.state.shard import Counters


def test_every_count_is_told_and_digested() -> None:
    """`as_dict` leaves no counter out: none may differ unseen between a live shard and its replay."""
    counters = Counters()
    assert counters.as_dict() == vars(counters)
