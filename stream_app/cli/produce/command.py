"""`stream-app produce MODULE:APP FILE`: a file's rows as events and labels."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
import typer
from msgspec import UNSET

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.errors import UsageError
from topics.catalog import FURTHEST_AHEAD_MS, catalog

if TYPE_CHECKING:
    from stream_app.cli.produce.schedule import Stamped
    from stream_app.client.producer import EventProducer

app = typer.Typer()
SHOW_EVERY = 500  # records; drawing the bar costs as much as a few of them


@app.command()
def produce(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    file: Path = typer.Argument(..., help=".csv or .jsonl, also .gz or .zip"),
    key: str = typer.Option(..., metavar="COL", help="The column that names the entity."),
    inline_label: str | None = typer.Option(None, metavar="COL", help="Send this column inside the event."),
    label: str | None = typer.Option(None, metavar="COL", help="Send this column as a label record."),
    label_delay: str | None = typer.Option(
        None, metavar="N|DURATION", help="How many events, or how long, late; default 0."
    ),
    time_column: str | None = typer.Option(None, "--time", metavar="COL", help="Epoch ms, or ISO 8601."),
    types: str = typer.Option(
        "", metavar="COL=TYPE,…", help="number, string or bool where the file misleads."
    ),
    rate: float | None = typer.Option(
        None, metavar="N", min=0.001, help="Events per second; default all it can."
    ),
    limit: int | None = typer.Option(None, metavar="N", min=1, help="Only the first N rows."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Write each row as an event, its label inside it or as a record of its own; event ids are FILE:ROW."""
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.cli.produce.files import read_rows
    from stream_app.cli.produce.schedule import epoch_ms, schedule

    if inline_label and label:
        raise UsageError("--inline-label and --label exclude each other", "Choose one")
    if label_delay is not None and not label:
        raise UsageError(
            "--label-delay says how late labels are, but none are sent", "Name their column: --label COL"
        )
    delay_rows, delay_ms = parse_delay(label_delay or "0")
    typed = parse_types(types)
    if typed and ".csv" not in file.name.lower():
        raise UsageError("--types is for CSV", "JSON lines carry the types of their values")
    definition, settings = load_app(target, models=False), settings_for()
    rows = read_rows(file, {key: "string", **typed}, limit)
    roles = [column for column in (key, inline_label, label, time_column) if column]
    check_columns(file.name, rows, key, (*roles, *typed))
    times = None
    if time_column:
        times = [epoch_ms(row.get(time_column), time_column) for row in rows]
    now_ms = time.time_ns() // 1_000_000
    records = schedule(
        len(rows), now_ms, times=times, labels=label is not None, delay_rows=delay_rows, delay_ms=delay_ms
    )
    refuse_the_future(records[-1].time_ms - now_ms if records else 0, time_column)
    columns = Columns(file.name, key, inline_label, label, frozenset(roles))
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        topics = catalog(definition.name, definition.shards)
        admin.require((topics.events, topics.labels))
    report = send(definition.name, settings.kafka.kafka_python(), columns, rows, records, rate)
    if json:
        print_json(report)
    else:
        sys.stderr.write(
            "produced {events:,} events and {labels:,} labels in {seconds:.1f} s\n".format(**report)
        )
        if definition.labels is not None and not (label or inline_label):
            sys.stderr.write("no labels were sent; name their column with --label or --inline-label\n")


def check_columns(file: str, rows: list[dict[str, Any]], key: str, named: Iterable[str]) -> None:
    """Refuse missing columns and keys before the first record, not after half of them.

    Raises:
        UsageError: a column that is named is nowhere, or a row has no key.
    """
    if not rows:
        sys.stderr.write(f"{file} holds no rows; nothing is produced\n")
        return
    present = dict.fromkeys(column for row in rows for column in row)
    for column in named:
        if column not in present:
            raise UsageError(f"{file} has no column {column}", f"It has {', '.join(present)}")
    for number, row in enumerate(rows):
        if not text_of(row.get(key)):
            raise UsageError(
                f"{file} row {number} has nothing in its key column {key}",
                "Name the entity in every row, or take those rows out",
            )


class Columns(msgspec.Struct):
    """Which column of the file plays which part; the others are features."""

    file: str
    key: str
    inline_label: str | None
    label: str | None
    roles: frozenset[str]


def send(
    name: str,
    kafka: dict[str, Any],
    columns: Columns,
    rows: list[dict[str, Any]],
    records: list[Stamped],
    rate: float | None,
) -> dict[str, Any]:
    """Produce all records in order and count them."""
    from rich.console import Console
    from rich.progress import Progress

    from stream_app.client.producer import EventProducer

    counts = {"events": 0, "labels": 0}
    started_s = time.monotonic()
    console = Console(file=sys.stderr)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with counted(counts), EventProducer(name, kafka) as producer, bar as progress:
        task = progress.add_task(f"produce {columns.file}", total=len(records))
        for done, record in enumerate(records):
            if rate or done % SHOW_EVERY == 0:
                progress.update(task, completed=done)
            try:
                sent = write(producer, columns, rows[record.row], record)
            except UsageError as error:
                raise UsageError(f"{columns.file} row {record.row}: {error.message}", error.remedy) from error
            counts["labels" if record.is_label else "events"] += sent
            if rate and not record.is_label:
                time.sleep(max(0.0, started_s + counts["events"] / rate - time.monotonic()))
    return {**counts, "seconds": time.monotonic() - started_s}


@contextmanager
def counted(counts: dict[str, int]) -> Iterator[None]:
    """Say after Ctrl-C how much was sent, and that the same call may be made again."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted: sent {events:,} events and {labels:,} labels. Run the same command again to send "
            "all: what was sent has the same event ids and is dropped the second time\n".format(**counts)
        )
        raise


def write(producer: EventProducer, columns: Columns, row: dict[str, Any], record: Stamped) -> bool:
    """Produce one record; False for the label of a row that has none."""
    event_id = f"{columns.file}:{record.row}"
    entity = text_of(row.get(columns.key))
    if record.is_label:
        if columns.label not in row:
            return False
        producer.label(entity, event_id, row[columns.label], time=record.time_ms)
    else:
        roles = columns.roles
        features = {name: value for name, value in row.items() if name not in roles}
        label = row.get(columns.inline_label, UNSET) if columns.inline_label else UNSET
        producer.send(entity, features, event_id, label, record.time_ms)
    return True


def refuse_the_future(ahead_ms: int, time_column: str | None) -> None:
    """Refuse records stamped too far ahead, before the first one is sent."""
    if ahead_ms <= FURTHEST_AHEAD_MS:
        return
    remedy = "Label fewer events late"
    if time_column:
        remedy = f"Column {time_column} must hold epoch milliseconds (not micro- or nanoseconds) of the past"
    raise UsageError(f"the newest record would be stamped {ahead_ms // 1000} s ahead of now", remedy)


def text_of(value: Any) -> str:
    """A key as text; a number or a bool keeps its JSON form."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


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
