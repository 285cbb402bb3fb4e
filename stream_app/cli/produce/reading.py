"""A file's rows read as options say, judged by a learner's rules, and when each of them happens."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from stream_app.application import Application
from stream_app.cli.produce.check import as_classes, check_features, check_labels
from stream_app.cli.produce.columns import Column
from stream_app.cli.produce.data_sets import data_set
from stream_app.cli.produce.files import Dialect, Table, json_table, read_table
from stream_app.cli.produce.rows import Columns, text_of
from stream_app.cli.produce.schedule import Stamped, epoch_ms, schedule
from stream_app.durations import parse_duration
from stream_app.errors import UsageError
from stream_app.inputs.moments import UNITS

ROW = "row number"
RIVER = "river:"  # before the name of a data set, in place of a file


class Options(NamedTuple):
    """How a file is read, as `stream_app.cli.produce.options` describes each. Without a key, each row is an
    entity of its own.
    """

    key: str | None
    event_id: str | None = None
    inline_label: str | None = None
    label: str | None = None
    label_delay: str | None = None
    time_column: str | None = None
    time_in: str = "ms"
    label_time: str | None = None
    features: str = ""
    drop: str = ""
    types: str = ""
    limit: int | None = None
    delimiter: str = ""
    decimal: str = ""
    thousands: str = ""


class Reading(NamedTuple):
    """What was read. `times` and `label_times` are epoch ms by row, where columns have them."""

    rows: list[dict[str, Any]]
    columns: Columns
    times: list[int] | None
    label_times: list[int] | None
    delay_rows: int
    delay_ms: int | None

    def schedule(self, now_ms: int) -> list[Stamped]:
        """Every event and label in order of time; without a time column, the last event happens now."""
        return schedule(
            len(self.rows),
            now_ms,
            times=self.times,
            labels=self.columns.label is not None,
            delay_rows=self.delay_rows,
            delay_ms=self.delay_ms,
            label_times=self.label_times,
        )


def read(definition: Application, file: Path, options: Options) -> Reading:
    """Read a file, say what each column was taken for, and judge every row.

    Raises:
        UsageError: the first fault; the remedy names the option.
    """
    label = options.label
    if options.inline_label and label:
        raise UsageError("--inline-label and --label exclude each other", "Choose one")
    if (options.label_delay is not None or options.label_time) and not label:
        raise UsageError("nothing says which labels are late", "Name their column: --label COL")
    if options.label_delay is not None and options.label_time:
        raise UsageError("--label-delay and --label-time exclude each other", "Choose one")
    delay_rows, delay_ms = parse_delay(options.label_delay or "0")
    typed = parse_types(options.types)
    dialect = Dialect(named_delimiter(options.delimiter), options.decimal, options.thousands)
    table = table_of(file, typed, options, dialect)
    key = options.key or number(table)
    rows, name, unit = table.rows, file.name, options.time_in
    parts = (key, options.event_id, options.inline_label, label, options.time_column, options.label_time)
    roles = [column for column in parts if column]
    dropped, chosen = commas(options.drop), commas(options.features)
    check_columns(name, table, key, (*roles, *typed, *dropped, *chosen))
    if options.event_id:
        check_ids(name, rows, options.event_id)
    check_unit(unit)
    at, known_at = options.time_column, options.label_time
    times = [epoch_ms(row.get(at), at, unit) for row in rows] if at else None
    label_times = (
        [epoch_ms(row[known_at], known_at, unit) if label in row else 0 for row in rows] if known_at else None
    )
    told = {key: "key", options.event_id: "event id", at: "time", known_at: "label's time"}
    named = features_of(table, roles, dropped, chosen)
    columns = Columns(name, key, options.event_id, options.inline_label, label, named)
    judge(definition, table, columns, told)
    return Reading(rows, columns, times, label_times, delay_rows, delay_ms)


def table_of(file: Path, typed: dict[str, str], options: Options, dialect: Dialect) -> Table:
    """The rows of a file, or of a data set that River brings along."""
    if str(file).startswith(RIVER):
        return json_table(list(islice(data_set(str(file).removeprefix(RIVER)), options.limit)), typed)
    return read_table(file, typed, options.limit, dialect, options.key)


def number(table: Table) -> str:
    """Number the rows in a column of their own, which is given: each is an entity of its own."""
    for place, row in enumerate(table.rows):
        row[ROW] = str(place)
    table.columns.append(Column(ROW, "string", 0, len(table.rows)))
    return ROW


def features_of(
    table: Table, roles: Sequence[str], dropped: Sequence[str], chosen: Sequence[str]
) -> frozenset[str]:
    """The columns that are sent as features."""
    return frozenset(chosen or {column.name for column in table.columns} - {*roles, *dropped})


def judge(definition: Application, table: Table, columns: Columns, roles: dict[str | None, str]) -> None:
    """Say what each column was taken for, and refuse what a learner would refuse.

    Raises:
        UsageError: the first fault; nothing was sent.
    """
    labels = columns.inline_label or columns.label
    note = as_classes(definition, table.rows, labels) if labels else ""
    show(table, {**roles, labels: "label"} if labels else roles, columns.features, note)
    check_features(definition, columns.file, table.rows, columns.features)
    if labels:
        check_labels(definition, columns.file, table.rows, labels)


def show(table: Table, roles: dict[str | None, str], features: frozenset[str], about_label: str) -> None:
    """Say what each column was taken for, before anything is sent."""
    notes = [f"note: {note}" for note in table.notes]
    width = max((len(column.name) for column in table.columns), default=0)
    lines = [
        f"{column.name:<{width}}  {taken_for(column, roles, features, about_label)}"
        for column in table.columns
    ]
    sys.stderr.write("".join(f"{line}\n" for line in (*notes, *lines)))


def taken_for(
    column: Column, roles: dict[str | None, str], features: frozenset[str], about_label: str
) -> str:
    """What one column was taken for."""
    role = roles.get(column.name)
    if role == "label":
        return ", ".join(["label", column.text, *([about_label] if about_label else [])])
    if role is not None:
        return role
    return column.text if column.name in features else "not sent"


def check_columns(file: str, table: Table, key: str, named: Iterable[str]) -> None:
    """Refuse missing columns and keys before the first record, not after half of them.

    Raises:
        UsageError: a column that is named is nowhere, or a row has no key.
    """
    if not table.rows:
        sys.stderr.write(f"{file} holds no rows; nothing is produced\n")
        return
    present = [column.name for column in table.columns]
    for column in named:
        if column not in present:
            only = "; if they are separated otherwise, give --delimiter" if len(present) == 1 else ""
            raise UsageError(
                f"{file} has no column {column}",
                f"It has {', '.join(name for name in present if name != ROW)}{only}",
            )
    for number, row in enumerate(table.rows):
        if not text_of(row.get(key)):
            raise UsageError(
                f"{file} row {number} has nothing in its key column {key}",
                "Name the entity in every row, or take those rows out",
            )


def check_ids(file: str, rows: Sequence[dict[str, Any]], column: str) -> None:
    """Refuse rows without an id, and an id that comes twice: it would be taken for a repeat.

    Raises:
        UsageError: the first such row.
    """
    ids = [text_of(row.get(column)) for row in rows]
    if "" in ids:
        raise UsageError(
            f"{file} row {ids.index('')} has nothing in its id column {column}", "Give every row an id"
        )
    most, n = Counter(ids).most_common(1)[0] if ids else ("", 0)
    if n > 1:
        raise UsageError(
            f"{file} has the id {most!r} in column {column} {n} times", "Give every row its own id"
        )


def check_unit(time_in: str) -> None:
    """Refuse a unit of time that there is not."""
    if "%" not in time_in and time_in not in UNITS:
        fix = f"Choose one of {', '.join(UNITS)}, or give a format such as '%d/%m/%Y %H:%M'"
        raise UsageError(f"--time-in {time_in!r} is no unit", fix)


def parse_delay(text: str) -> tuple[int, int | None]:
    """(rows, None) for a bare number, (0, ms) for a duration."""
    if text.isdecimal():
        return int(text), None
    return 0, parse_duration(text)


def parse_types(text: str) -> dict[str, str]:
    """Column → type of `--types`."""
    try:
        return dict(pair.split("=", 1) for pair in text.split(",") if pair)
    except ValueError:
        raise UsageError(
            f"--types {text!r} is not COL=TYPE,…", "For example --types zip=string,vip=bool"
        ) from None


def commas(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def named_delimiter(text: str) -> str:
    """A delimiter as the shell can give it."""
    known = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(known) > 1:
        raise UsageError(
            f"--delimiter {text!r} is more than a character", "For example --delimiter ';' or tab"
        )
    return known
