"""`stream-app topics create|check MODULE:APP`."""

from __future__ import annotations

import sys

import msgspec
import typer

from stream_app.cli.context import load_app, print_json, settings_for

app = typer.Typer(no_args_is_help=True, help="Create and check an application's topics.")
TARGET = typer.Argument(..., metavar="MODULE:APP")
JSON = typer.Option(False, "--json", help="One JSON object per line.")


@app.command()
def create(target: str = TARGET, json: bool = JSON) -> None:
    """Create the topics that are missing, then check them all."""
    run(target, json, make=True)


@app.command()
def check(target: str = TARGET, json: bool = JSON) -> None:
    """Compare every topic with its declaration; exit 1 on a difference, each with its fix."""
    run(target, json, make=False)


def run(target: str, json: bool, *, make: bool) -> None:
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.wiring import catalog_for

    definition, settings = load_app(target), settings_for()
    catalog = catalog_for(definition, settings)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        created = admin.create(catalog) if make else []
        found = admin.check(catalog)
    if json:
        print_json({"created": created, "mismatches": [msgspec.structs.asdict(m) for m in found]})
    else:
        for name in created:
            sys.stdout.write(f"created {name}\n")
        for mismatch in found:
            sys.stdout.write(f"{mismatch.topic}: {mismatch.what}\n  fix: {mismatch.fix}\n")
        if not found:
            sys.stdout.write(f"{len(list(catalog))} topics are as declared\n")
    if any(mismatch.grave for mismatch in found):
        raise typer.Exit(3 if make else 1)
    if found:
        raise typer.Exit(1)
