"""`stream-app keys new|public`: keys that sign what learners pickle."""

from __future__ import annotations

import secrets

import typer

from stream_app.cli.context import settings_for
from stream_app.errors import Refused

app = typer.Typer(no_args_is_help=True, help="Make signing keys, and print the public ones.")


@app.callback()
def keys() -> None:
    """Make signing keys, and print the public ones."""


@app.command()
def new() -> None:
    """Print a new pair as environment variables: the private key for learners, the public one for predictors.

    Nothing is stored. Keep the first line secret.
    """
    private = secrets.token_bytes(32)
    typer.echo(f"STREAM_APP_SIGNING__KEYS={private.hex()}")
    typer.echo(f"STREAM_APP_SIGNING__PUBLIC_KEYS={written(private)}")


@app.command()
def public() -> None:
    """Print what predictors need in STREAM_APP_SIGNING__PUBLIC_KEYS, from the keys that are set here."""
    signing = settings_for(kafka=False).signing
    found = [*map(written, signing.private_bytes()), *signing.public_keys]
    if not found:
        raise Refused("no signing key is set", "Set STREAM_APP_SIGNING__KEYS, or run `stream-app keys new`")
    typer.echo(",".join(dict.fromkeys(found)))


def written(private: bytes) -> str:
    """The public key of a private one, as it stands in settings."""
    from stream_app.adapters.signing import public_key
    from stream_app.settings.parts import PUBLIC

    return PUBLIC + public_key(private).hex()
