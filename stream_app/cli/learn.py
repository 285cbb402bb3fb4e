"""`stream-app learn MODULE:APP`: the learner under its supervisor."""

from __future__ import annotations

import os
import signal
import sys

import structlog
import typer

from stream_app.application import Application
from stream_app.cli.context import load_app, pin, settings_for
from stream_app.errors import Refused, Unreachable

CRASHED = 70  # sysexits.h EX_SOFTWARE
TRY_AGAIN = 75  # sysexits.h EX_TEMPFAIL: the supervisor restarts after it, as after any crash

app = typer.Typer()


@app.command()
def learn(
    target: str = typer.Argument(..., metavar="MODULE:APP", help="The definition, or path.py:attr."),
    exit_when_idle: float | None = typer.Option(
        None, metavar="S", help="End once every input is at its end and all is committed, for S seconds."
    ),
    instance_id: str | None = typer.Option(None, help="Static membership: a restart keeps its shards."),
    supervise: bool = typer.Option(True, help="Restart the learner when it dies."),
    supervised: bool = typer.Option(False, hidden=True, help="A supervisor holds the other end of stdin."),
    admission: bool = typer.Option(True, help="Check first that the definition can be replayed."),
) -> None:
    """Predict every event and learn every label, exactly once; ends with SIGTERM."""
    pin()
    from stream_app import wiring
    from stream_app.adapters.kafka_admin import TopicAdmin

    wiring.configure_logs()
    definition = load_app(target)
    if supervised:
        try:
            work(definition, exit_when_idle, instance_id, supervised=True)
        except Unreachable as error:
            structlog.get_logger().error("cannot start now", why=str(error))
            raise typer.Exit(TRY_AGAIN) from error
        return
    settings = settings_for(redis=True)
    with TopicAdmin(settings.kafka.kafka_python()) as admin:
        admin.require(wiring.catalog_for(definition, settings))
    if not supervise:
        work(definition, exit_when_idle, instance_id, supervised=False)
        return
    if admission:
        from stream_app.adapters.admission import admit

        admit(target)
    from stream_app.adapters.clock import SystemClock
    from stream_app.learner.supervisor import supervise as run

    command = [sys.executable, "-m", "stream_app", *sys.argv[1:], "--supervised"]
    raise typer.Exit(run(command, SystemClock()))


def work(
    definition: Application, exit_when_idle: float | None, instance_id: str | None, *, supervised: bool
) -> None:
    """Learn until told to stop."""
    from stream_app import wiring
    from stream_app.learner.supervisor import watch_parent

    settings = settings_for(redis=True)
    loop = wiring.learner(definition, settings, exit_when_idle_s=exit_when_idle, instance_id=instance_id)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stopping.set())
    if supervised:
        watch_parent(sys.stdin.fileno(), loop.stopping)
    try:
        loop.run()
    except Refused:
        raise
    except Exception:  # noqa: BLE001  # whatever it is, the supervisor starts anew
        # At once: a thread that hangs would keep the dying process, and with it its shards, in the group.
        structlog.get_logger().critical("the learner fails", exc_info=True)
        sys.stderr.flush()
        os._exit(CRASHED)
