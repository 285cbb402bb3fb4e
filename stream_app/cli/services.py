"""`stream-app services up|down|status`."""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import typer

from stream_app.cli.context import print_json

app = typer.Typer(no_args_is_help=True, help="Embedded real Kafka and Valkey for laptops, demos and tests.")
JSON = typer.Option(False, "--json", help="One JSON object.")
DIR = typer.Option(
    None, "--dir", metavar="D", help="Where data and state lie; default below your state directory."
)


@app.callback()
def services() -> None:
    """Embedded real Kafka and Valkey for laptops, demos and tests."""
    # A broker that starts refuses at first, and the client's log would report each time.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


@app.command()
def up(json: bool = JSON, directory: Path | None = DIR) -> None:
    """Start what does not run yet and print the addresses; servers that settings name are left alone."""
    from stream_app.embedded import services as embedded

    found = embedded.up(directory)
    named = embedded.named()
    external = [name for name, address in (("kafka", named.kafka), ("redis", named.redis)) if address]
    if json:
        print_json(
            {
                "bootstrap_servers": found.bootstrap_servers,
                "redis_url": without_password(found.redis_url),
                "dir": str(found.directory),
                "kafka_pid": found.kafka_pid,
                "valkey_pid": found.valkey_pid,
                "external": external,
            }
        )
        return
    note = " (external, named in the settings)"
    typer.echo(f"Kafka   {found.bootstrap_servers}{note if 'kafka' in external else ''}")
    typer.echo(f"Redis   {without_password(found.redis_url)}{note if 'redis' in external else ''}")
    typer.echo(f"data    {found.directory}")
    if directory is not None and os.environ.get(embedded.DIRECTORY_VARIABLE) != str(found.directory):
        # every other command would look for them in the default folder
        typer.echo(f"use     export {embedded.DIRECTORY_VARIABLE}={shlex.quote(str(found.directory))}")


@app.command()
def down(json: bool = JSON, directory: Path | None = DIR) -> None:
    """Stop both servers; their data stays."""
    from stream_app.embedded import services as embedded

    ran = embedded.down(directory)
    if json:
        print_json({"stopped": ran})
    else:
        typer.echo("stopped" if ran else "nothing ran")


@app.command()
def status(json: bool = JSON, directory: Path | None = DIR) -> None:
    """Which servers answer; exit 1 unless all of ours do."""
    from stream_app.embedded import services as embedded

    found = embedded.status(directory)
    if json:
        print_json(
            {
                name: {
                    "up": server.up,
                    "external": server.external,
                    "pid": server.pid,
                    "port": server.port,
                    "address": without_password(server.address) if server.up is not False else None,
                }
                for name, server in found.items()
            }
        )
    else:
        for name, server in found.items():
            if server.external:
                state = f"external, {without_password(server.address)}"
            elif server.up:
                state = f"up, pid {server.pid}, port {server.port}"
            else:
                state = f"silent, pid {server.pid}, port {server.port}" if server.pid else "down"
            typer.echo(f"{name:7} {state}")
    if any(server.up is False for server in found.values()):
        raise typer.Exit(1)


def without_password(address: str) -> str:
    """An address that may be shown: what a URL carries as its password is starred."""
    parts = urlsplit(address)
    if "://" not in address or parts.password is None:
        return address
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:***@{host}").geturl()
