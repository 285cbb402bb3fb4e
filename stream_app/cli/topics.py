"""`stream-app topics create|check MODULE:APP`."""

from __future__ import annotations

import sys

import typer

from stream_app.cli.context import load_app, print_json, settings_for

app = typer.Typer(no_args_is_help=True, help="Create and check an application's topics.")
TARGET = typer.Argument(..., metavar="MODULE:APP")
JSON = typer.Option(False, "--json", help="One JSON object per topic.")


@app.command()
def create(target: str = TARGET, json: bool = JSON) -> None:
    """Create what is missing, then check all; exit 3 if a topic that exists cannot be used."""
    run(target, json, make=True)


@app.command()
def check(target: str = TARGET, json: bool = JSON) -> None:
    """Compare every topic with its declaration; exit 1 on a difference, each with its fix."""
    run(target, json, make=False)


def run(target: str, json: bool, *, make: bool) -> None:
    """Create if asked to, check, and report."""
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.wiring_topics import catalog_for

    definition, settings = load_app(target, models=False), settings_for()
    catalog = catalog_for(definition, settings)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        created = admin.create(catalog) if make else []
        found = admin.check(catalog)
    for spec in catalog:
        mine = [mismatch for mismatch in found if mismatch.topic == spec.name]
        state = "differs" if mine else "created" if spec.name in created else "ok"
        if json:
            told = [{"what": m.what, "fix": m.fix, "grave": m.grave} for m in mine]
            print_json({"topic": spec.name, "state": state, "mismatches": told})
            continue
        sys.stdout.write(f"{state:7} {spec.name}\n")
        for mismatch in mine:
            sys.stdout.write(f"        {mismatch.what}\n        fix: {mismatch.fix}\n")
    if found:
        raise typer.Exit(3 if make and any(mismatch.grave for mismatch in found) else 1)
