"""`stream-app serve MODULE:APP`: predictions over HTTP."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import structlog
import typer

from stream_app.cli.context import check_view, load_app, pin, settings_for
from stream_app.errors import Refused

if TYPE_CHECKING:
    from fastapi import FastAPI

    from stream_app.settings import Settings

TARGET = "STREAM_APP_TARGET"  # for the workers, which are processes of their own
SEVERAL = "PROMETHEUS_MULTIPROC_DIR"
KEEP_ALIVE_S = 75  # longer than clients and proxies keep an idle connection, else they ask on a closed one

app = typer.Typer()


@app.command()
def serve(
    target: str = typer.Argument(..., metavar="MODULE:APP", help="The definition, or path.py:attr."),
    host: str | None = typer.Option(None, help="Default 127.0.0.1; others need tokens."),
    port: int | None = typer.Option(None, min=0, max=65_535, help="Default 8000."),
    workers: int | None = typer.Option(None, min=1, help="Processes; each has a cache of its own."),
) -> None:
    """Predict from the newest features and the newest champion; ends with SIGTERM."""
    pin()
    import uvicorn

    from stream_app.learner.logs import configure_logs

    configure_logs()
    load_app(target)
    settings = settings_for(redis=True)
    check_keys(settings)
    check_view(settings)
    ours = settings.serve
    given: dict[str, Any] = {"host": host, "port": port, "workers": workers}
    how = {name: getattr(ours, name) if value is None else value for name, value in given.items()}
    if not is_loopback(how["host"]) and not any(ours.tokens().values()):
        raise Refused(
            f"{how['host']} can be reached by others, and no token is set",
            "Set STREAM_APP_SERVE__TOKENS_READ, …_FEEDBACK and …_ADMIN, or bind to 127.0.0.1",
        )
    check_free(how["host"], how["port"])
    say_where(how["host"], how["port"], secure=bool(ours.ssl_certfile))
    # uvicorn raises the signal anew after it has ended well; that is an end, not a death.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ[TARGET] = target
    folder = tempfile.mkdtemp(prefix="stream-app-metrics-") if how["workers"] > 1 else None
    if folder is not None:
        os.environ[SEVERAL] = folder
    try:
        uvicorn.run(
            "stream_app.cli.serve:application",
            factory=True,
            access_log=False,
            log_level="warning",
            ssl_certfile=ours.ssl_certfile,
            ssl_keyfile=ours.ssl_keyfile,
            server_header=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=KEEP_ALIVE_S,
            **how,
        )
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def application() -> FastAPI:
    """One worker's."""
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring import predictor as wiring

    configure_logs()
    return wiring.predictor(load_app(os.environ[TARGET]), settings_for(redis=True))


def check_keys(settings: Settings) -> None:
    """Refuse to start without a key that verifies; warn of one that signs, here where strangers ask.

    Raises:
        Refused: no key is set.
    """
    from stream_app.settings import load_settings
    from stream_app.wiring.predictor import verifying_keys

    verifying_keys(settings)
    if load_settings().signing.keys:
        structlog.get_logger().warning(
            "this predictor holds a private signing key, with which it could sign what learners load",
            fix="set STREAM_APP_SIGNING__PUBLIC_KEYS alone; `stream-app keys public` prints it",
        )


def check_free(host: str, port: int) -> None:
    """Refuse a port that is taken before any worker starts: each would try again for ever."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise Refused(
                f"{host}:{port} cannot be bound ({error.strerror})", "Give another --port"
            ) from error


def say_where(host: str, port: int, *, secure: bool) -> None:
    """Log the address."""
    named = f"[{host}]" if ":" in host else host
    structlog.get_logger().info("listens", address=f"{'https' if secure else 'http'}://{named}:{port}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can ask."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
