"""`stream-app produce MODULE:APP FILE`: a file's rows as events and labels."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.errors import UsageError
from topics.catalog import FURTHEST_AHEAD_MS, catalog

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.cli.produce.columns import Column
    from stream_app.cli.produce.files import Table
    from stream_app.cli.produce.send import Columns

app = typer.Typer()
COLUMN = "COL"


@app.command()
def produce(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    file: Path = typer.Argument(..., help=".csv, .tsv or .jsonl, also .gz or .zip; or .parquet"),
    key: str = typer.Option(..., metavar=COLUMN, help="The column that names the entity."),
    event_id: str | None = typer.Option(None, metavar=COLUMN, help="The event's id; default FILE:ROW."),
    inline_label: str | None = typer.Option(None, metavar=COLUMN, help="Send this column inside the event."),
    label: str | None = typer.Option(None, metavar=COLUMN, help="Send this column as a label record."),
    label_delay: str | None = typer.Option(
        None, metavar="N|DURATION", help="How many events, or how long, late; default 0."
    ),
    time_column: str | None = typer.Option(None, "--time", metavar=COLUMN, help="Epoch ms, or ISO 8601."),
    time_in: str = typer.Option(
        "ms", metavar="UNIT", help="s, ms, us, ns, UTC, or a format: '%d/%m/%Y %H:%M'. Of --label-time too."
    ),
    label_time: str | None = typer.Option(None, metavar=COLUMN, help="When the label was known; as --time."),
    features: str = typer.Option(
        "", metavar="COL,…", help="Send these columns as features; default all others."
    ),
    drop: str = typer.Option("", metavar="COL,…", help="Send these columns not at all."),
    types: str = typer.Option(
        "", metavar="COL=TYPE,…", help="number, string or bool where the file misleads."
    ),
    delimiter: str = typer.Option("", help="Between fields; default as the first line suggests."),
    decimal: str = typer.Option("", help="The decimal sign, . or ,; default as the numbers suggest."),
    thousands: str = typer.Option("", help="Between groups of three digits: , . ' or a blank."),
    rate: float | None = typer.Option(
        None, metavar="N", min=0.001, help="Events per second; default all it can."
    ),
    limit: int | None = typer.Option(None, metavar="N", min=1, help="Only the first N rows."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Write each row as an event, its label inside it or as a record of its own.

    Every row is judged first, by the rules of a learner of this definition. After Ctrl-C the same command
    sends the rest.
    """
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.cli.produce.files import Dialect, read_table
    from stream_app.cli.produce.progress import Progress, Sent
    from stream_app.cli.produce.schedule import epoch_ms, schedule
    from stream_app.cli.produce.send import Columns, send

    if inline_label and label:
        raise UsageError("--inline-label and --label exclude each other", "Choose one")
    if (label_delay is not None or label_time) and not label:
        raise UsageError("nothing says which labels are late", "Name their column: --label COL")
    if label_delay is not None and label_time:
        raise UsageError("--label-delay and --label-time exclude each other", "Choose one")
    delay_rows, delay_ms = parse_delay(label_delay or "0")
    typed = parse_types(types)
    definition, settings = load_app(target, models=False), settings_for()
    table = read_table(file, typed, limit, Dialect(named_delimiter(delimiter), decimal, thousands), key)
    rows, name = table.rows, file.name
    roles = [column for column in (key, event_id, inline_label, label, time_column, label_time) if column]
    dropped, chosen = commas(drop), commas(features)
    check_columns(name, table, key, (*roles, *typed, *dropped, *chosen))
    if event_id:
        check_ids(name, rows, event_id)
    check_unit(time_in)
    times = [epoch_ms(row.get(time_column), time_column, time_in) for row in rows] if time_column else None
    label_times = (
        [epoch_ms(row[label_time], label_time, time_in) if label in row else 0 for row in rows]
        if label_time
        else None
    )
    told = {key: "key", event_id: "event id", time_column: "time", label_time: "label's time"}
    columns = Columns(name, key, event_id, inline_label, label, features_of(table, roles, dropped, chosen))
    judge(definition, table, columns, told)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        topics = catalog(definition.name, definition.shards)
        ids = admin.require((topics.events, topics.labels))
    now_ms = time.time_ns() // 1_000_000
    options = [
        key,
        event_id,
        inline_label,
        label,
        label_delay,
        time_column,
        time_in,
        label_time,
        features,
        drop,
        types,
        limit,
    ]
    progress = Progress(ids, file, options)
    before = progress.read()
    sent = Sent(now_ms) if before is None or before.is_whole else before
    if before is not None:
        say_of_before(before)
    records = schedule(
        len(rows),
        sent.start_ms,
        times=times,
        labels=label is not None,
        delay_rows=delay_rows,
        delay_ms=delay_ms,
        label_times=label_times,
    )
    refuse_the_future(records[-1].time_ms - now_ms if records else 0, time_column)
    report = send(
        definition.name, settings.kafka.kafka_python(), columns, rows, records, rate, progress, sent
    )
    repeats = report["events"] if before is not None and before.is_whole else 0
    if json:
        print_json({**report, "repeats": repeats})
        return
    sys.stderr.write("produced {events:,} events and {labels:,} labels in {seconds:.1f} s\n".format(**report))
    if definition.labels is not None and not (label or inline_label):
        sys.stderr.write("no labels were sent; name their column with --label or --inline-label\n")


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
    from stream_app.cli.produce.check import as_classes, check_features, check_labels

    labels = columns.inline_label or columns.label
    note = as_classes(definition, table.rows, labels) if labels else ""
    show(table, {**roles, labels: "label"} if labels else roles, columns.features, note)
    check_features(definition, columns.file, table.rows, columns.features)
    if labels:
        check_labels(definition, columns.file, table.rows, labels)


def say_of_before(before: Any) -> None:
    """Say what an earlier call of the same kind has sent."""
    if before.is_whole:
        sys.stderr.write(
            f"all {before.total:,} records of this file were sent before; they are sent again under the same "
            "event ids, and a learner drops repeats within dedupe\n"
        )
    else:
        sys.stderr.write(f"going on after {before.sent:,} records that were sent before\n")


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
    from stream_app.cli.produce.send import text_of

    if not table.rows:
        sys.stderr.write(f"{file} holds no rows; nothing is produced\n")
        return
    present = [column.name for column in table.columns]
    for column in named:
        if column not in present:
            only = "; if they are separated otherwise, give --delimiter" if len(present) == 1 else ""
            raise UsageError(f"{file} has no column {column}", f"It has {', '.join(present)}{only}")
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
    from stream_app.cli.produce.send import text_of

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
    from stream_app.inputs.moments import UNITS

    if "%" not in time_in and time_in not in UNITS:
        fix = f"Choose one of {', '.join(UNITS)}, or give a format such as '%d/%m/%Y %H:%M'"
        raise UsageError(f"--time-in {time_in!r} is no unit", fix)


def refuse_the_future(ahead_ms: int, time_column: str | None) -> None:
    """Refuse records stamped too far ahead, before the first one is sent."""
    if ahead_ms <= FURTHEST_AHEAD_MS:
        return
    remedy = "Label fewer events late"
    if time_column:
        remedy = f"Column {time_column} must hold times of the past; --time-in says how they are written"
    raise UsageError(f"the newest record would be stamped {ahead_ms // 1000} s ahead of now", remedy)


def parse_delay(text: str) -> tuple[int, int | None]:
    """(rows, None) for a bare number, (0, ms) for a duration."""
    if text.isdecimal():
        return int(text), None
    from stream_app.durations import parse_duration

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
