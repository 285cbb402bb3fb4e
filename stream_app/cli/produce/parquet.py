"""pyarrow: rows of Parquet files, which say themselves what their columns are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from stream_app.cli.produce.columns import Row, flat
from stream_app.errors import UsageError


def parquet_rows(path: Path) -> Iterator[Row]:
    """Row by row; what is null or NaN is left out, moments are ISO 8601, objects become dotted columns.

    Raises:
        UsageError: pyarrow is not installed, or the file cannot be read.
    """
    try:
        from pyarrow import ArrowException  # type: ignore[import-untyped]
        from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError(
            f"{path.name} needs pyarrow, which is not installed",
            "pip install 'stream-app[parquet]', or write the rows as CSV",
        ) from error
    try:
        for batch in ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                yield {name: plain(value) for name, value in flat(row).items() if not is_nan(value)}
    except (ArrowException, OSError) as error:
        fix = "It must be a whole Parquet file"
        raise UsageError(f"{path.name} cannot be read ({error})", fix) from error


def is_nan(value: Any) -> bool:
    """A float that is not a finite number."""
    return isinstance(value, float) and value - value != 0


def plain(value: Any) -> Any:
    """What JSON can carry; moments without a zone are UTC."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return value
