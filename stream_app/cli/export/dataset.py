"""pyarrow: exported rows as a Parquet data set, one folder a day, all files with the same columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stream_app.errors import UsageError
from stream_app.learner.history.rows import Mark, SeenRow

MARKS = "_export.json"  # readers of data sets pass over names that begin like this
PREFIX = "row."  # of the features' columns
TEXT, NUMBER, BOOL = "text", "number", "bool"  # what a column of features or labels holds
UNKNOWN = {"binary": BOOL, "regression": NUMBER, "anomaly": NUMBER, "multiclass": TEXT}  # labels, by task


class Marks(msgspec.Struct):
    """How far each shard is exported, and what the columns of features and labels hold, by name."""

    app: str
    shards: dict[int, Mark]
    columns: dict[str, str]


class DataSet:
    """A folder of Parquet files. `add` writes a part, and only then that it is there.

    A feature that comes later is a new column, which all files get: readers take the columns of the first.

    Raises:
        UsageError: pyarrow is not installed, or the folder holds something else.
    """

    def __init__(self, folder: Path, app: str, task: str) -> None:
        try:
            import pyarrow as pa  # type: ignore[import-untyped]  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "export writes Parquet, and pyarrow is not installed", "pip install 'stream-app[parquet]'"
            ) from error
        self.folder, self.task, self.marks = folder, task, Marks(app, {}, {})
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
        """Write a part; cut off at any place, the next run writes it again under the same names.

        Raises:
            UsageError: a column holds another kind of value than before.
        """
        before = self.mark(shard)
        mark.parts = (before.parts if before else 0) + bool(rows)
        mark.rows = (before.rows if before else 0) + len(rows)
        self.learn_columns(rows)
        by_day: dict[str, list[SeenRow]] = {}
        for row in rows:
            day = datetime.fromtimestamp(row.time_ms / 1000, UTC).date().isoformat()
            by_day.setdefault(day, []).append(row)
        for day, found in by_day.items():
            place = self.folder / f"day={day}" / f"shard-{shard}-part-{mark.parts:05}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place, self.table(found))
        self.marks.shards[shard] = mark
        self.save()

    def learn_columns(self, rows: Sequence[SeenRow]) -> None:
        """Note what new columns hold, and give them to the files that are there."""
        found = dict(self.marks.columns)
        labels = [value for row in rows for value in (row.prediction, row.label)]
        for name in ("prediction", "label"):
            learn(found, name, labels, UNKNOWN[self.task])
        for name in sorted({name for row in rows for name in row.row}):
            learn(found, PREFIX + name, (row.row.get(name) for row in rows), TEXT)
        new = [name for name in found if name not in self.marks.columns]
        if not new and (self.folder / MARKS).exists():
            return
        self.marks.columns = found
        self.save()  # so that a folder without a whole part is known as ours
        for place in sorted(self.folder.glob("day=*/*.parquet")):
            self.widen(place)

    def widen(self, place: Path) -> None:
        """Give a file the columns that it lacks, empty."""
        import pyarrow as pa
        from pyarrow.parquet import read_table  # type: ignore[import-untyped]

        table = read_table(place, partitioning=None)
        for name, kind in self.marks.columns.items():
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(len(table), arrow_type(kind)))
        write(place, table)

    def table(self, rows: Sequence[SeenRow]) -> Any:
        """Rows as columns: ours by their names, features behind `row.`."""
        import pyarrow as pa

        chances = pa.map_(pa.string(), pa.float64())
        columns: dict[str, Any] = {
            "event_id": pa.array([row.event_id for row in rows], pa.string()),
            "key": pa.array([row.key for row in rows], pa.string()),
            "time": pa.array([row.time_ms for row in rows], pa.timestamp("ms", "UTC")),
            "shard": pa.array([row.shard for row in rows], pa.int32()),
            "offset": pa.array([row.offset for row in rows], pa.int64()),
            "probabilities": pa.array([by_name(row.probabilities) for row in rows], chances),
            "model": pa.array([row.model for row in rows], pa.string()),
            "version": pa.array([row.version for row in rows], pa.int64()),
            "learned": pa.array([row.learned for row in rows], pa.int64()),
            "weights": pa.array([by_name(row.weights) for row in rows], chances),
            "labelled": pa.array([row.labelled for row in rows], pa.string()),
        }
        for name, kind in self.marks.columns.items():
            columns[name] = pa.array([cell(value_of(row, name), kind) for row in rows], arrow_type(kind))
        return pa.table(columns)

    def save(self) -> None:
        """Write the marks, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        half = self.folder / f"{MARKS}.half"
        half.write_bytes(msgspec.json.encode(self.marks))
        half.replace(self.folder / MARKS)


def value_of(row: SeenRow, column: str) -> Any:
    """What a row has in a column whose kind is learned."""
    if column.startswith(PREFIX):
        return row.row.get(column.removeprefix(PREFIX))
    return row.prediction if column == "prediction" else row.label


def learn(columns: dict[str, str], name: str, values: Iterable[Any], unknown: str) -> None:
    """Note what a column holds, by its first value; `unknown` where it has none yet.

    Raises:
        UsageError: it holds something else than before.
    """
    kinds = {kind_of(value) for value in values if value is not None}
    if not kinds:
        columns.setdefault(name, unknown)
        return
    kind = kinds.pop() if len(kinds) == 1 else TEXT
    if columns.setdefault(name, kind) not in (kind, TEXT):
        raise UsageError(
            f"column {name} held {columns[name]} values so far and now holds {kind} values",
            "Export into another folder",
        )


def kind_of(value: Any) -> str:
    """What a value is."""
    return BOOL if type(value) is bool else NUMBER if type(value) in (int, float) else TEXT


def cell(value: Any, kind: str) -> Any:
    """A value as its column holds it; in one of texts, others are their JSON text."""
    if value is None or kind == BOOL:
        return value
    if kind == NUMBER:
        return float(value)
    return value if type(value) is str else json.dumps(value)


def arrow_type(kind: str) -> Any:
    """Arrow's type of a column."""
    import pyarrow as pa

    types: dict[str, Callable[[], Any]] = {TEXT: pa.string, NUMBER: pa.float64, BOOL: pa.bool_}
    return types[kind]()


def by_name(chances: dict[Any, float] | None) -> list[tuple[str, float]] | None:
    """A class is named by its JSON text, as in prediction records."""
    if chances is None:
        return None
    return [(label if type(label) is str else json.dumps(label), float(p)) for label, p in chances.items()]


def write(place: Path, table: Any) -> None:
    """Write one file, whole or not at all."""
    from pyarrow.parquet import write_table

    half = place.with_name(f"_{place.name}.half")
    write_table(table, half)
    half.replace(place)
