"""`stream-app produce MODULE:APP FILE`: a file's rows as events and labels."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import typer

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.errors import UsageError

app = typer.Typer()


@app.command()
def produce(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    file: Path = typer.Argument(..., help=".csv or .jsonl, also .gz or .zip"),
    key: str = typer.Option(..., metavar="COL", help="The column that names the entity."),
    inline_label: str | None = typer.Option(None, metavar="COL", help="Send this column inside the event."),
    label: str | None = typer.Option(None, metavar="COL", help="Send this column as a label record."),
    label_delay: str = typer.Option("0", metavar="N|DURATION", help="Labels come N events, or a duration, late."),
    time_column: str | None = typer.Option(None, "--time", metavar="COL", help="Event time in epoch ms."),
    types: str = typer.Option("", metavar="COL=TYPE,…", help="number, string or bool, where the file misleads."),
    rate: float | None = typer.Option(None, metavar="N", help="Events per second; default as fast as it goes."),
    limit: int | None = typer.Option(None, metavar="N", help="Only the first N rows."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Write every row as an event, and its label inside it or as a record of its own; event ids are <file>:<row>."""
    from rich.console import Console
    from rich.progress import Progress

    from stream_app.client.files import read_rows, schedule
    from stream_app.client.producer import UNSET, EventProducer

    if inline_label and label:
        raise UsageError("--inline-label and --label exclude each other", "Choose one")
    delay_rows, delay_ms = parse_delay(label_delay)
    definition, settings = load_app(target), settings_for()
    rows = read_rows(file, parse_types(types), limit)
    for column in filter(None, (key, inline_label, label, time_column)):
        if rows and not any(column in row for row in rows):
            raise UsageError(f"{file.name} has no column {column}", f"It has {', '.join(rows[0])}")
    times = [int(row[time_column]) for row in rows] if time_column else None
    records = schedule(
        len(rows), time.time_ns() // 1_000_000, times=times, labels=label is not None,
        delay_rows=delay_rows, delay_ms=delay_ms,
    )  # fmt: skip
    apart = {column for column in (key, inline_label, label, time_column) if column}
    total = len(rows) * (2 if label else 1)
    started_s, sent, events = time.monotonic(), 0, 0
    with (
        EventProducer(definition.name, settings.kafka.kafka_python()) as producer,
        Progress(console=Console(file=sys.stderr), transient=True) as progress,
    ):
        task = progress.add_task(f"produce {file.name}", total=total)
        for record in records:
            row = rows[record.row]
            event_id = f"{file.name}:{record.row}"
            entity = text_of(row.get(key))
            if record.is_label:
                if label in row:
                    producer.label(entity, event_id, row[label], time=record.time_ms)
            else:
                features = {name: value for name, value in row.items() if name not in apart}
                inline = row.get(inline_label, UNSET) if inline_label else UNSET
                producer.send(entity, features, event_id, inline, record.time_ms)
                events += 1
                if rate:
                    time.sleep(max(0.0, started_s + events / rate - time.monotonic()))
            sent += 1
            if sent % 500 == 0:
                progress.update(task, completed=sent)
    took_s = time.monotonic() - started_s
    report = {"events": events, "labels": sent - events, "seconds": took_s}
    if json:
        print_json(report)
    else:
        sys.stderr.write(f"produced {events} events and {sent - events} labels in {took_s:.1f} s\n")


def text_of(value: Any) -> str:
    """A key column's value as text; a number keeps its JSON form."""
    if isinstance(value, str):
        return value
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def parse_delay(text: str) -> tuple[int | None, int | None]:
    """(rows, None) for a bare number, (None, ms) for a duration."""
    if text.isdigit():
        return int(text), None
    from stream_app.durations import parse_duration

    return None, parse_duration(text)


def parse_types(text: str) -> dict[str, str]:
    try:
        return dict(pair.split("=", 1) for pair in text.split(",") if pair)
    except ValueError:
        raise UsageError(f"--types {text!r} is not COL=TYPE,…", "For example --types zip=string,vip=bool") from None
