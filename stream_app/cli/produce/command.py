"""`stream-app produce MODULE:APP FILE`: a file's rows as events and labels."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.cli.produce.options import (
    FILES,
    Decimal,
    Delimiter,
    Drop,
    EventId,
    Features,
    InlineLabel,
    Key,
    Label,
    LabelDelay,
    LabelTime,
    Limit,
    Thousands,
    TimeColumn,
    TimeIn,
    Types,
)
from stream_app.errors import UsageError
from topics.catalog import FURTHEST_AHEAD_MS, catalog

app = typer.Typer()


@app.command()
def produce(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP")],
    file: Annotated[Path, typer.Argument(help=FILES)],
    key: Key,
    event_id: EventId = None,
    inline_label: InlineLabel = None,
    label: Label = None,
    label_delay: LabelDelay = None,
    time_column: TimeColumn = None,
    time_in: TimeIn = "ms",
    label_time: LabelTime = None,
    features: Features = "",
    drop: Drop = "",
    types: Types = "",
    delimiter: Delimiter = "",
    decimal: Decimal = "",
    thousands: Thousands = "",
    rate: float | None = typer.Option(
        None, metavar="N", min=0.001, help="Events per second; default all it can."
    ),
    limit: Limit = None,
    json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Write each row as an event, its label inside it or as a record of its own.

    Every row is judged first, by the rules of a learner of this definition. After Ctrl-C the same command
    sends the rest.
    """
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.cli.produce.progress import Progress, Sent
    from stream_app.cli.produce.reading import Options, read
    from stream_app.cli.produce.send import send

    definition, settings = load_app(target, models=False), settings_for()
    options = Options(
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
        delimiter,
        decimal,
        thousands,
    )
    reading, kafka = read(definition, file, options), settings.kafka.kafka_python()
    with TopicAdmin(kafka) as admin:
        topics = catalog(definition.name, definition.shards)
        ids = admin.require((topics.events, topics.labels))
    now_ms = time.time_ns() // 1_000_000
    progress = Progress(ids, file, list(options[:12]))
    before = progress.read()
    sent = Sent(now_ms) if before is None or before.is_whole else before
    if before is not None:
        say_of_before(before)
    records = reading.schedule(sent.start_ms)
    refuse_the_future(records[-1].time_ms - now_ms if records else 0, time_column)
    report = send(definition.name, kafka, reading.columns, reading.rows, records, rate, progress, sent)
    repeats = report["events"] if before is not None and before.is_whole else 0
    if json:
        print_json({**report, "repeats": repeats})
        return
    sys.stderr.write("produced {events:,} events and {labels:,} labels in {seconds:.1f} s\n".format(**report))
    if definition.labels is not None and not (label or inline_label):
        sys.stderr.write("no labels were sent; name their column with --label or --inline-label\n")


def say_of_before(before: Any) -> None:
    """Say what an earlier call of the same kind has sent."""
    if before.is_whole:
        sys.stderr.write(
            f"all {before.total:,} records of this file were sent before; they are sent again under the same "
            "event ids, and a learner drops repeats within dedupe\n"
        )
    else:
        sys.stderr.write(f"going on after {before.sent:,} records that were sent before\n")


def refuse_the_future(ahead_ms: int, time_column: str | None) -> None:
    """Refuse records stamped too far ahead, before the first one is sent."""
    if ahead_ms <= FURTHEST_AHEAD_MS:
        return
    remedy = "Label fewer events late"
    if time_column:
        remedy = f"Column {time_column} must hold times of the past; --time-in says how they are written"
    raise UsageError(f"the newest record would be stamped {ahead_ms // 1000} s ahead of now", remedy)
