"""`stream-app services up|down|status`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from stream_app.cli.context import print_json

app = typer.Typer(no_args_is_help=True, help="Embedded real Kafka and Valkey for laptops, demos and tests.")
JSON = typer.Option(False, "--json", help="One JSON object.")
DIR = typer.Option(None, "--dir", metavar="D", help="Where data and state lie; default below your state directory.")


@app.command()
def up(json: bool = JSON, directory: Path | None = DIR) -> None:
    """Start what does not run yet and print the addresses."""
    from stream_app.embedded import services

    found = services.up(directory)
    if json:
        print_json(
            {"bootstrap_servers": found.bootstrap_servers, "redis_url": found.redis_url, "dir": str(found.directory)}
        )
    else:
        sys.stdout.write(f"Kafka   {found.bootstrap_servers}\nValkey  {found.redis_url}\ndata    {found.directory}\n")


@app.command()
def down(json: bool = JSON, directory: Path | None = DIR) -> None:
    """Stop both servers; their data stays."""
    from stream_app.embedded import services

    ran = services.down(directory)
    if json:
        print_json({"stopped": ran})
    else:
        sys.stdout.write("stopped\n" if ran else "nothing ran\n")


@app.command()
def status(json: bool = JSON, directory: Path | None = DIR) -> None:
    """Which servers run; exit 1 unless both do."""
    from stream_app.embedded import services

    found = services.status(directory)
    if json:
        print_json(found)
    else:
        for name, server in found.items():
            state = f"up, pid {server['pid']}, port {server['port']}" if server["up"] else "down"
            sys.stdout.write(f"{name:7} {state}\n")
    if not all(server["up"] for server in found.values()):
        raise typer.Exit(1)
