"""`stream-app bootstrap MODULE:APP FILE…`: what happened before the first event, learned from files."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from msgspec import UNSET

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
    from stream_app.cli.produce.schedule import Stamped
    from stream_app.learner.history.mini_batch import Row

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
    mini_batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="Let models learn N rows at once; these are other models than row by row.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per shard.")] = False,
) -> None:
    """Learn a history from files before the first event, so that the first prediction is not cold.

    Rows go through the live step: features, models, detectors and swaps are those of a learner that had read
    them from Kafka. Nothing is predicted to anybody. The cluster must hold no record of the application yet;
    each shard then begins in an epoch of its own behind the history. If it is cut off, run it again.

    With --mini-batch, models that have River's learn_many (linear models, scalers, naive Bayes) learn many
    numeric rows at once, without the live step: only the first and the last rows are scored and watched.
    """
    pin()
    from rich.console import Console

    from stream_app.cli.produce.reading import Options
    from stream_app.learner.history.mini_batch import check_together
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
    if mini_batch is not None:
        check_together(definition)
    stamped = history(readings, definition.shards, together=mini_batch is not None)
    records, left_out = within(stamped)
    refuse_the_future(records)
    if left_out:
        sys.stderr.write(
            f"note: {left_out:,} labels come later than 10 min after the last event and are left out: write "
            "them with `stream-app produce` when they are due\n"
        )
    name = name_of(definition, files, (*options, mini_batch))
    with Console(file=sys.stderr).status("history") as status:
        for learned, done in learn(definition, settings, records, name, status.update, mini_batch or 1):
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


def history(
    readings: list[tuple[Reading, int]], shards: int, *, together: bool = False
) -> list[tuple[int, Record | Row]]:
    """The records of all files, each with its shard, in the order of time as a learner would merge them.

    `together`: all but the first and the last rows are rows that are learned together.
    """
    from stream_app.cli.backtest.records import record_of
    from stream_app.learner.history.mini_batch import FIRST, LAST
    from topics.placement import partition_for

    parts = [
        [(stamped, place, reading) for stamped in reading.schedule(now_ms)]
        for place, (reading, now_ms) in enumerate(readings)
    ]
    merged = list(merge(*parts, key=lambda one: one[0].time_ms))
    events = [(place, stamped.row) for stamped, place, _ in merged if not stamped.is_label]
    many = set(events[FIRST:-LAST] if together else ())  # a label may come before its event
    found: list[tuple[int, Record | Row]] = []
    for stamped, place, reading in merged:
        keyed = (row_of if (place, stamped.row) in many else record_of)(reading, stamped)
        if keyed is not None:
            key, one = keyed
            found.append((partition_for(key, shards), one))
    return found


def row_of(reading: Reading, stamped: Stamped) -> tuple[bytes, Row] | None:
    """A row that is learned together with others, at its event, and its key; None where it has no label."""
    from stream_app.client.checks import encoded_key
    from stream_app.learner.history.mini_batch import Row

    if stamped.is_label:
        return None
    row, columns = reading.rows[stamped.row], reading.columns
    entity, features, _, label = columns.event_of(stamped.row, row)
    if columns.label:
        label = row.get(columns.label, UNSET)
    return None if label is UNSET else (encoded_key(entity), Row(stamped.time_ms, features, label))


def within(stamped: list[tuple[int, Record | Row]]) -> tuple[list[tuple[int, Record | Row]], int]:
    """The records that lie no further behind the last event than log time may run ahead, and how many do.

    Labels that come a week late would move log time a week ahead, where it stays: the events of that week
    would all happen at one moment.
    """
    last_ms = last_event_ms(stamped)
    kept = [pair for pair in stamped if pair[1].time_ms <= last_ms + FURTHEST_AHEAD_MS]
    offsets: Counter[tuple[int, int]] = Counter()
    numbered: list[tuple[int, Record | Row]] = []
    for shard, record in kept:
        if not isinstance(record, Record):
            numbered.append((shard, record))
            continue
        offset = offsets[shard, record.rank]
        offsets[shard, record.rank] += 1
        numbered.append((shard, Record(record.rank, offset, record.time_ms, record.key, record.value, None)))
    return numbered, len(stamped) - len(kept)


def last_event_ms(stamped: list[tuple[int, Record | Row]]) -> int:
    """When the last event happens that the live step sees; it is the last of all."""
    events = (one for _, one in stamped if isinstance(one, Record) and one.rank == EVENT)
    return max((event.time_ms for event in events), default=0)


def refuse_the_future(records: list[tuple[int, Record | Row]]) -> None:
    """Refuse events that have not happened yet: log time never goes back.

    Raises:
        UsageError: there is one.
    """
    now_ms = time.time_ns() // 1_000_000
    last_ms = last_event_ms(records)
    if last_ms > now_ms + FURTHEST_AHEAD_MS:
        when = datetime.fromtimestamp(last_ms / 1000, UTC).isoformat()
        raise UsageError(
            f"the last event happens at {when}, which has not come yet",
            "Correct the times, or say their unit: --time-in",
        )


def name_of(definition: Application, files: list[Path], options: tuple[Any, ...]) -> str:
    """A name for the history: the same whenever these files are given, read and learned in the same way."""
    from stream_app.definition.digest import definition_hash

    digest = sha256(definition_hash(definition).encode())
    digest.update(repr((options, [file.name for file in files], files[-1].stat().st_mtime_ns)).encode())
    for file in files:
        digest.update(sha256(file.read_bytes()).digest())
    return f"bootstrap-{digest.hexdigest()[:12]}"
