"""`stream-app consume MODULE:APP WHAT`: committed records, one line each."""

from __future__ import annotations

import base64
import sys
from typing import Any

import orjson
import typer

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.errors import UsageError, printable

app = typer.Typer()
WHAT = (
    "predictions",
    "alerts",
    "dead-letters",
    "models",
    "stats",
    "journal",
    "events",
    "labels",
    "commands",
)
SURELY_PRINTABLE = 200  # brackets; orjson writes 254 levels


@app.command()
def consume(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    what: str = typer.Argument(..., help=" | ".join(WHAT)),
    json: bool = typer.Option(False, "--json", help="One JSON object per record."),
    maximum: int | None = typer.Option(None, "--max", metavar="N", min=1, help="End after N records."),
    timeout: float | None = typer.Option(
        None, metavar="S", min=0, help="End after S seconds without a new record; default at today's end."
    ),
    follow: bool = typer.Option(False, "--follow", help="Never end by itself."),
) -> None:
    """Print committed records from the beginning, and nothing of an aborted transaction."""
    if what not in WHAT:
        raise UsageError(f"unknown topic {what!r}", f"Choose one of {', '.join(WHAT)}")
    from stream_app.client.consumer import CommittedReader
    from stream_app.inspect.dead_letters import ERRORS

    definition, settings = load_app(target, models=False), settings_for()
    with CommittedReader(
        settings.kafka.kafka_python(),
        f"{definition.name}.{what}",
        max_records=maximum,
        timeout_s=timeout,
        until_end=timeout is None and not follow,
    ) as reader:
        try:
            for record in reader:
                line = as_json(record)
                if json:
                    print_json(line)
                else:
                    place = f"{line['partition']}:{line['offset']}"
                    value = orjson.dumps(line["value"]).decode()
                    why = line["headers"].get(f"{ERRORS}reason") if what == "dead-letters" else None
                    parts = (place, str(line["key"]), *([str(why)] if why else []))
                    sys.stdout.write("\t".join([*map(printable, parts), value]) + "\n")
        except KeyboardInterrupt:
            sys.stderr.write("stopped\n")


def as_json(record: Any) -> dict[str, Any]:
    """A record as the contract prints it; what is no JSON, or no text, is shown as base64."""
    return {
        "key": text(record.key),
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "value": parsed(record.value),
        "headers": {name: text(value) for name, value in record.headers},
    }


def text(value: bytes | None) -> Any:
    """Bytes as text where they are text."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return as_base64(value)


def parsed(value: bytes | None) -> Any:
    """Bytes as JSON where that can be printed again: orjson reads deeper nests than it writes."""
    if value is None:
        return None
    try:
        found = orjson.loads(value)
        if value.count(b"[") + value.count(b"{") > SURELY_PRINTABLE:
            orjson.dumps([found])
    except (orjson.JSONDecodeError, TypeError):
        return as_base64(value)
    return found


def as_base64(value: bytes) -> dict[str, str]:
    """Bytes as they are."""
    return {"base64": base64.b64encode(value).decode()}
