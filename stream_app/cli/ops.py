"""`stream-app ops MODULE:APP …`: alerts to people, and the dashboard."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import typer

from stream_app.cli.context import load_app, pin, settings_for
from stream_app.cli.serve import check_free, is_loopback, say_where
from stream_app.errors import Refused

GRACE_S = 1  # for open requests; pages that follow a board connect again

app = typer.Typer()


@app.command()
def ops(
    targets: list[str] = typer.Argument(..., metavar="MODULE:APP...", help="The definitions to look after."),
    host: str | None = typer.Option(None, help="Default 127.0.0.1; others need tokens."),
    port: int | None = typer.Option(None, min=0, max=65_535, help="Default 8100."),
) -> None:
    """Route alerts and show the dashboard; ends with SIGTERM."""
    pin()
    import uvicorn

    from stream_app.learner.logs import configure_logs
    from stream_app.wiring import ops as wiring

    configure_logs()
    apps = [load_app(target) for target in targets]
    settings = settings_for()
    ours = settings.ops
    where = ours.host if host is None else host, ours.port if port is None else port
    if not is_loopback(where[0]) and not any(ours.tokens().values()):
        raise Refused(
            f"{where[0]} can be reached by others, and no token is set",
            "Set STREAM_APP_OPS__TOKENS_READ and …_ADMIN, or bind to 127.0.0.1",
        )
    check_free(*where)
    wiring.structured_logs()
    say_where(*where, secure=bool(ours.ssl_certfile))
    with tempfile.TemporaryDirectory(prefix="stream-app-ops-") as directory:
        served, process = wiring.ops(apps, settings, Path(directory))
        # uvicorn raises the signal anew after it has ended well; that is an end, not a death.
        signal.signal(signal.SIGTERM, lambda *_: None)
        config = uvicorn.Config(
            served,
            host=where[0],
            port=where[1],
            access_log=False,
            log_config=None,
            server_header=False,
            ssl_certfile=ours.ssl_certfile,
            ssl_keyfile=ours.ssl_keyfile,
            timeout_graceful_shutdown=GRACE_S,
            loop="asyncio",
        )

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                served.state.feed.close()  # it waits for whoever listens
                super().handle_exit(sig, frame)

        Server(config).run()
    sys.stderr.flush()
    # all is closed; to take the interpreter apart takes seconds on a busy machine
    os._exit(process.exit_code)
