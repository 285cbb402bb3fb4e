"""pyarrow: exported rows as a Parquet data set, one folder a day."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stream_app.errors import UsageError
from stream_app.learner.history.rows import Mark, SeenRow

MARKS = "_export.json"  # readers of data sets pass over names that begin like this
PREFIX = "row."  # of the features' columns


class Marks(msgspec.Struct):
    """How far each shard is exported."""

    app: str
    shards: dict[int, Mark]


class DataSet:
    """A folder of Parquet files. `add` writes a part, and only then that it is there.

    Raises:
        UsageError: pyarrow is not installed, or the folder holds something else.
    """

    def __init__(self, folder: Path, app: str) -> None:
        try:
            import pyarrow as pa  # type: ignore[import-untyped]  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "export writes Parquet, and pyarrow is not installed", "pip install 'stream-app[parquet]'"
            ) from error
        self.folder, self.marks = folder, Marks(app, {})
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file", "--to names a folder, in which days are folders")
        place = folder / MARKS
        if place.exists():
            self.marks = msgspec.json.decode(place.read_bytes(), type=Marks)
            if self.marks.app != app:
                raise UsageError(f"{folder} holds rows of {self.marks.app}", "Name another folder")
        elif folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty and holds no export", "Name another folder")

    def mark(self, shard: int) -> Mark | None:
        """How far a shard is exported."""
        return self.marks.shards.get(shard)

    def add(self, shard: int, rows: Sequence[SeenRow], mark: Mark) -> None:
        """Write a part; cut off at any place, the next run writes it again under the same names."""
        before = self.mark(shard)
        mark.parts = (before.parts if before else 0) + bool(rows)
        mark.rows = (before.rows if before else 0) + len(rows)
        by_day: dict[str, list[SeenRow]] = {}
        for row in rows:
            day = datetime.fromtimestamp(row.time_ms / 1000, UTC).date().isoformat()
            by_day.setdefault(day, []).append(row)
        for day, found in by_day.items():
            place = self.folder / f"day={day}" / f"shard-{shard}-part-{mark.parts:05}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place, found)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.marks.shards[shard] = mark
        half = self.folder / f"{MARKS}.half"
        half.write_bytes(msgspec.json.encode(self.marks))
        half.replace(self.folder / MARKS)


def write(place: Path, rows: Sequence[SeenRow]) -> None:
    """Write one file, whole or not at all."""
    from pyarrow.parquet import write_table  # type: ignore[import-untyped]

    half = place.with_name(f"_{place.name}.half")
    write_table(table(rows), half)
    half.replace(place)


def table(rows: Sequence[SeenRow]) -> Any:
    """Rows as columns: ours by their names, features behind `row.`."""
    import pyarrow as pa

    chances = pa.map_(pa.string(), pa.float64())
    columns: dict[str, Any] = {
        "event_id": pa.array([row.event_id for row in rows], pa.string()),
        "key": pa.array([row.key for row in rows], pa.string()),
        "time": pa.array([row.time_ms for row in rows], pa.timestamp("ms", "UTC")),
        "shard": pa.array([row.shard for row in rows], pa.int32()),
        "offset": pa.array([row.offset for row in rows], pa.int64()),
        "prediction": column(row.prediction for row in rows),
        "probabilities": pa.array([by_name(row.probabilities) for row in rows], chances),
        "model": pa.array([row.model for row in rows], pa.string()),
        "version": pa.array([row.version for row in rows], pa.int64()),
        "learned": pa.array([row.learned for row in rows], pa.int64()),
        "weights": pa.array([by_name(row.weights) for row in rows], chances),
        "label": column(row.label for row in rows),
        "labelled": pa.array([row.labelled for row in rows], pa.string()),
    }
    for name in sorted({name for row in rows for name in row.row}):
        columns[PREFIX + name] = column(row.row.get(name) for row in rows)
    return pa.table(columns)


def by_name(chances: dict[Any, float] | None) -> list[tuple[str, float]] | None:
    """A class is named by its JSON text, as in prediction records."""
    if chances is None:
        return None
    return [(label if type(label) is str else json.dumps(label), float(p)) for label, p in chances.items()]


def column(values: Iterable[Any]) -> Any:
    """Values of one kind: booleans, texts, or numbers as doubles; of several kinds their JSON text."""
    import pyarrow as pa

    found = list(values)
    kinds = {type(value) for value in found if value is not None}
    if kinds <= {bool}:
        return pa.array(found, pa.bool_() if kinds else pa.null())
    if kinds <= {str}:
        return pa.array(found, pa.string())
    if kinds <= {int, float}:
        return pa.array([None if value is None else float(value) for value in found], pa.float64())
    return pa.array([None if value is None else json.dumps(value) for value in found], pa.string())
