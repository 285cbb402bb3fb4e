"""Records of a file on their way: progress, Ctrl-C, and where to go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stream_app.errors import UsageError

if TYPE_CHECKING:
    from stream_app.cli.produce.progress import Progress, Sent
    from stream_app.cli.produce.rows import Columns
    from stream_app.cli.produce.schedule import Stamped
    from stream_app.client.producer import EventProducer

SHOW_EVERY = 500  # records; drawing the bar costs as much as a few of them
NOTE_EVERY = 20_000  # records, after which what was sent is surely written, and noted


def send(
    name: str,
    kafka: dict[str, Any],
    columns: Columns,
    rows: list[dict[str, Any]],
    records: list[Stamped],
    rate: float | None,
    progress: Progress,
    sent: Sent,
) -> dict[str, Any]:
    """Produce the records in order from where an earlier call ended, and count them."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    from stream_app.client.producer import EventProducer

    counts = {"events": 0, "labels": 0}
    started_s = time.monotonic()
    console = Console(file=sys.stderr)
    bar = Bar(console=console, transient=True, disable=not console.is_terminal)
    sent.total = len(records)
    with EventProducer(name, kafka) as producer, noted(counts, producer, progress, sent), bar as shown:
        task = shown.add_task(f"produce {columns.file}", total=len(records))
        for done in range(sent.sent, len(records)):
            record = records[done]
            if rate or done % SHOW_EVERY == 0:
                shown.update(task, completed=done)
            if done % NOTE_EVERY == NOTE_EVERY - 1:
                producer.flush()
                progress.write(sent)
            try:
                was_sent = write(producer, columns, rows[record.row], record)
            except UsageError as error:
                raise UsageError(f"{columns.file} row {record.row}: {error.message}", error.remedy) from error
            counts["labels" if record.is_label else "events"] += was_sent
            sent.sent = done + 1
            if rate and not record.is_label:
                time.sleep(max(0.0, started_s + counts["events"] / rate - time.monotonic()))
    return {**counts, "seconds": time.monotonic() - started_s}


@contextmanager
def noted(counts: dict[str, int], producer: EventProducer, progress: Progress, sent: Sent) -> Iterator[None]:
    """Note how much was sent, also after Ctrl-C, and say that the same call goes on from there."""
    try:
        yield
        producer.flush()
        progress.write(sent)
    except KeyboardInterrupt:
        producer.flush()
        progress.write(sent)
        sys.stderr.write(
            "interrupted: sent {events:,} events and {labels:,} labels. Run the same command again to send "
            "the rest\n".format(**counts)
        )
        raise


def write(producer: EventProducer, columns: Columns, row: dict[str, Any], record: Stamped) -> bool:
    """Produce one record; False for the label of a row that has none."""
    if record.is_label:
        found = columns.label_of(record.row, row)
        if found is None:
            return False
        producer.label(*found, time=record.time_ms)
    else:
        producer.send(*columns.event_of(record.row, row), record.time_ms)
    return True
