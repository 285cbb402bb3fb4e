"""The streams of `stream-app drift bench`, with the names and values that JSON knows."""

from __future__ import annotations

from typing import Any

from stream_app.cli.drift import streams as drift_streams

Row = tuple[dict[str, Any], Any]


def native(value: Any) -> Any:
    """A number of numpy's as Python's."""
    return value.item() if hasattr(value, "item") else value


def rows_of(name: str, seed: int, n: int) -> list[Row]:
    """The first n rows of a stream."""
    rows = drift_streams.STREAMS[name].rows(seed, n)
    return [({str(name): native(value) for name, value in x.items()}, native(y)) for x, y in rows]


STREAMS = tuple(drift_streams.STREAMS)
STATIONARY = {
    name for name, stream in drift_streams.STREAMS.items() if stream.kind == drift_streams.STATIONARY
}
