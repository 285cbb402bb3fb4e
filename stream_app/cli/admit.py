"""`stream-app admit TARGET` (hidden): one process's half of the admission check."""

import json
import sys

import typer

from stream_app.cli.context import pin, print_json

app = typer.Typer()


@app.command()
def admit(target: str) -> None:
    """Exercise the definition and print what came out as one JSON object; stdin may give rows to do so on."""
    pin()
    from stream_app.definition.admission import admission_report

    print_json(admission_report(target, [] if sys.stdin.isatty() else json.loads(sys.stdin.read() or "[]")))
