"""`stream-app bootstrap MODULE:APP FILE…`: what happened before the first event, learned from files."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from heapq import merge
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
from topics.catalog import FURTHEST_AHEAD_MS
from topics.envelope import EVENT, Record

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.cli.produce.reading import Options, Reading

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
    check_names(files, event_id)
    readings = readings_of(definition, files, options)
    stamped = history(readings, definition.shards)
    records, left_out = within(stamped)
    refuse_the_future(records)
    if left_out:
        sys.stderr.write(
            f"note: {left_out:,} labels come later than 10 min after the last event and are left out: write "
            "them with `stream-app produce` when they are due\n"
        )
    name = name_of(definition, files, options)
    with Console(file=sys.stderr).status("history") as status:
        for learned, done in learn(definition, settings, records, name, status.update):
            if json:
                print_json({**msgspec.structs.asdict(done), **learned.as_json()})
            else:
                what = "had begun before" if done.entered else f"begins in epoch {done.epoch}"
                sys.stdout.write(f"shard {done.shard}: {what}, behind {learned.text()}\n")
                sys.stdout.write("".join(f"  {line}\n" for line in learned.refusals()))
    sys.stderr.write("learned: start the learners\n")


def check_names(files: list[Path], event_id: str | None) -> None:
    """Refuse files of one name where the name is in the events' ids.

    Raises:
        UsageError: two have one name.
    """
    names = [file.name for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and event_id is None:
        raise UsageError(
            f"several files are called {twice[0]}, so their events would have the same ids",
            "Rename them, or name a column of ids: --event-id COL",
        )


def readings_of(definition: Application, files: list[Path], options: Options) -> list[tuple[Reading, int]]:
    """Each file as it is read, and when its last event happened where no column says so: the last file's
    when it was written, the others' right before the next one's first.
    """
    from stream_app.cli.produce.reading import read

    found = [read(definition, file, options) for file in files]
    ends, end_ms = [], files[-1].stat().st_mtime_ns // 1_000_000
    for reading in reversed(found):
        ends.append(end_ms)
        end_ms -= APART_MS * len(reading.rows)
    return list(zip(found, reversed(ends), strict=True))


def history(readings: list[tuple[Reading, int]], shards: int) -> list[tuple[int, Record]]:
    """The records of all files, each with its shard, in the order of time as a learner would merge them."""
    from stream_app.cli.backtest.records import records

    parts = [records(reading, shards, now_ms) for reading, now_ms in readings]
    return list(merge(*parts, key=lambda pair: pair[1].time_ms))


def within(stamped: list[tuple[int, Record]]) -> tuple[list[tuple[int, Record]], int]:
    """The records that lie no further behind the last event than log time may run ahead, and how many do.

    Labels that come a week late would move log time a week ahead, where it stays: the events of that week
    would all happen at one moment.
    """
    last_ms = max((record.time_ms for _, record in stamped if record.rank == EVENT), default=0)
    kept = [pair for pair in stamped if pair[1].time_ms <= last_ms + FURTHEST_AHEAD_MS]
    offsets: Counter[tuple[int, int]] = Counter()
    numbered = []
    for shard, record in kept:
        offset = offsets[shard, record.rank]
        offsets[shard, record.rank] += 1
        numbered.append((shard, Record(record.rank, offset, record.time_ms, record.key, record.value, None)))
    return numbered, len(stamped) - len(kept)


def refuse_the_future(records: list[tuple[int, Record]]) -> None:
    """Refuse events that have not happened yet: log time never goes back.

    Raises:
        UsageError: there is one.
    """
    now_ms = time.time_ns() // 1_000_000
    last_ms = max((record.time_ms for _, record in records if record.rank == EVENT), default=0)
    if last_ms > now_ms + FURTHEST_AHEAD_MS:
        when = datetime.fromtimestamp(last_ms / 1000, UTC).isoformat()
        raise UsageError(
            f"the last event happens at {when}, which has not come yet",
            "Correct the times, or say their unit: --time-in",
        )


def name_of(definition: Application, files: list[Path], options: Options) -> str:
    """A name for the history: the same whenever these files are given, read and learned in the same way."""
    from stream_app.definition.digest import definition_hash

    digest = sha256(definition_hash(definition).encode())
    digest.update(repr((options, [file.name for file in files], files[-1].stat().st_mtime_ns)).encode())
    for file in files:
        digest.update(sha256(file.read_bytes()).digest())
    return f"bootstrap-{digest.hexdigest()[:12]}"
