"""`stream-app bootstrap MODULE:APP FILE…`: what happened before the first event, learned from files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for
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

if TYPE_CHECKING:
    from stream_app.cli.produce.reading import Options, Reading
    from topics.envelope import Record

app = typer.Typer()
APART_MS = 2  # between two events without a time


@app.command()
def bootstrap(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help=f"{FILES}; in the order of time")],
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
    limit: Limit = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per shard.")] = False,
) -> None:
    """Learn a history from files before the first event, so that the first prediction is not cold.

    Rows go through the live step: features, models, detectors and swaps are those of a learner that had read
    them from Kafka. Nothing is predicted to anybody. The cluster must hold no record of the application yet;
    each shard then begins in an epoch of its own behind the history. If it is cut off, run it again.
    """
    pin()
    from rich.console import Console

    from stream_app.cli.produce.reading import Options
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.bootstrap import bootstrap as learn

    configure_logs()
    definition, settings = load_app(target), settings_for()
    if definition.labels is not None and not (label or inline_label):
        raise UsageError("nothing says which column is the label", "Name it: --label COL")
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
    readings = readings_of(target, files, options)
    n = sum(len(reading.rows) * (2 if reading.columns.label else 1) for reading, _ in readings)
    with Console(file=sys.stderr).status("history") as status:
        records = history(readings, definition.shards)
        for done in learn(definition, settings, records, n, name_of(files), status.update):
            if json:
                print_json(msgspec.structs.asdict(done))
            else:
                what = "had begun before" if done.entered else f"begins in epoch {done.epoch}"
                sys.stdout.write(f"shard {done.shard}: {what}, behind the history\n")
    sys.stderr.write("learned: start the learners\n")


def readings_of(target: str, files: list[Path], options: Options) -> list[tuple[Reading, int]]:
    """Each file as it is read, and when its last event happened where no column says so: the last file's
    when it was written, the others' right before the next one's first.
    """
    from stream_app.cli.produce.reading import read

    found = [read(load_app(target), file, options) for file in files]
    ends, end_ms = [], files[-1].stat().st_mtime_ns // 1_000_000
    for reading in reversed(found):
        ends.append(end_ms)
        end_ms -= APART_MS * len(reading.rows)
    return list(zip(found, reversed(ends), strict=True))


def history(readings: list[tuple[Reading, int]], shards: int) -> Iterator[tuple[int, Record]]:
    """The records of all files, each with its shard; offsets count on."""
    from collections import Counter

    from stream_app.cli.backtest.records import records

    offsets: Counter[tuple[int, int]] = Counter()
    return chain.from_iterable(records(reading, shards, now_ms, offsets) for reading, now_ms in readings)


def name_of(files: list[Path]) -> str:
    """A name for the history, the same whenever these files are given."""
    digest = sha256()
    for file in files:
        digest.update(sha256(file.read_bytes()).digest())
    return f"bootstrap-{digest.hexdigest()[:12]}"
