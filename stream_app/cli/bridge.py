"""`stream-app bridge MODULE:APP`: the user's topics into the application's, under a supervisor."""

from __future__ import annotations

import os
import signal
import socket
import sys

import structlog
import typer

from stream_app.cli.context import load_app, settings_for
from stream_app.errors import Refused, ShardFailed, Unreachable

TRY_AGAIN = 75  # sysexits.h EX_TEMPFAIL: the supervisor starts the next one

app = typer.Typer()


@app.command()
def bridge(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    exit_when_idle: float | None = typer.Option(
        None, metavar="S", help="End once every input is at its end and all is committed, for S seconds."
    ),
    metrics_port: int | None = typer.Option(
        None, min=0, max=65_535, help="Answer scrapes here; default: not."
    ),
    metrics_host: str = typer.Option("127.0.0.1", help="Where scrapes are answered."),
    supervise: bool = typer.Option(True, help="Restart the bridge when it dies."),
    life: int = typer.Option(0, hidden=True, help="Which start this is under a supervisor; 0 without one."),
) -> None:
    """Copy records of the topics in `inputs=` as events and labels, exactly once; ends with SIGTERM."""
    from stream_app.learner.logs import configure_logs

    configure_logs()
    if supervise and not life:
        from stream_app.adapters.clock import SystemClock
        from stream_app.learner.supervisor import supervise as run
        from stream_app.own_process import own_command

        raise typer.Exit(run(own_command(*sys.argv[1:], "--life"), SystemClock()))
    try:
        work(target, exit_when_idle, metrics_port, metrics_host, life=life)
    except (ShardFailed, Unreachable) as error:
        if life == 0 or (life == 1 and isinstance(error, Refused)):
            raise
        structlog.get_logger().error("the bridge ends, the next one goes on", why=str(error))
        raise typer.Exit(TRY_AGAIN) from error


def work(
    target: str, exit_when_idle: float | None, metrics_port: int | None, metrics_host: str, *, life: int
) -> None:
    """Bridge until a signal, or idleness, ends it.

    Raises:
        UsageError: the target names no definition, or one without inputs.
        Refused: a topic cannot be read, or records were deleted before they were bridged.
        ShardFailed: a transaction failed, or another process took over.
    """
    from stream_app.learner.supervisor import watch_parent
    from stream_app.wiring import bridge as wiring

    definition, settings = load_app(target, models=False), settings_for()
    loop = wiring.bridge(
        definition,
        settings,
        instance_id=f"{socket.gethostname()}-{os.getppid()}" if life else None,  # the supervisor outlives us
        exit_when_idle_s=exit_when_idle,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stopping.set())
    if life:
        watch_parent(sys.stdin.fileno(), loop.stopping)
    try:
        loop.run()
    finally:
        loop.log.close()
