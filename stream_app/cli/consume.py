"""`stream-app consume MODULE:APP WHAT`: committed records, one line each."""

from __future__ import annotations

import base64
import sys
from typing import Any

import orjson
import typer

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.errors import UsageError

app = typer.Typer()
WHAT = ("predictions", "alerts", "dead-letters", "models", "stats", "journal", "events", "labels", "commands")


@app.command()
def consume(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    what: str = typer.Argument(..., help=" | ".join(WHAT)),
    json: bool = typer.Option(False, "--json", help="One JSON object per record."),
    maximum: int | None = typer.Option(None, "--max", metavar="N", help="End after N records."),
    timeout: float = typer.Option(5.0, metavar="S", help="End after S seconds without a new record."),
    follow: bool = typer.Option(False, help="Never end by itself."),
) -> None:
    """Print committed records from the beginning (read_committed: nothing of an aborted transaction)."""
    if what not in WHAT:
        raise UsageError(f"unknown topic {what!r}", f"Choose one of {', '.join(WHAT)}")
    from stream_app.client.consumer import CommittedReader

    definition, settings = load_app(target), settings_for()
    reader = CommittedReader(
        settings.kafka.kafka_python(), f"{definition.name}.{what}", max_records=maximum,
        timeout_s=None if follow else timeout,
    )  # fmt: skip
    try:
        for record in reader:
            line = as_json(record)
            if json:
                print_json(line)
            else:
                sys.stdout.write(f"{line['partition']}:{line['offset']}\t{line['key']}\t{orjson.dumps(line['value']).decode()}\n")
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
    finally:
        reader.close()


def as_json(record: Any) -> dict[str, Any]:
    """`{"key","partition","offset","timestamp_ms","value","headers"}`; what is not JSON is shown as base64."""
    return {
        "key": text(record.key),
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "value": parsed(record.value),
        "headers": {name: text(value) for name, value in record.headers},
    }


def text(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def parsed(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return {"base64": base64.b64encode(value).decode()}
