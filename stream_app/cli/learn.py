"""`stream-app learn MODULE:APP`: the learner under its supervisor."""

from __future__ import annotations

import signal
import sys

import typer

from stream_app.cli.context import load_app, pin, settings_for

app = typer.Typer()


@app.command()
def learn(
    target: str = typer.Argument(..., metavar="MODULE:APP", help="The definition, or path.py:attr."),
    exit_when_idle: float | None = typer.Option(
        None, metavar="S", help="End once every input is at its end and all is committed, for S seconds."
    ),
    instance_id: str | None = typer.Option(None, help="Static membership: a restart causes no rebalance."),
    supervise: bool = typer.Option(True, help="Restart the learner when it dies."),
    supervised: bool = typer.Option(False, hidden=True, help="A supervisor holds the other end of stdin."),
    admission: bool = typer.Option(True, help="Check first that the definition can be replayed."),
) -> None:
    """Predict every event and learn every label, exactly once; ends with SIGTERM."""
    pin()
    from stream_app import wiring
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.learner.supervisor import watch_parent

    wiring.configure_logs()
    settings = settings_for(redis=True)
    definition = load_app(target)
    if not supervised:
        with TopicAdmin(settings.kafka.kafka_python()) as admin:
            admin.require(wiring.catalog_for(definition, settings))
    if supervise and not supervised:
        if admission:
            from stream_app.adapters.admission import admit

            admit(target)
        from stream_app.adapters.clock import SystemClock
        from stream_app.learner.supervisor import supervise as run

        command = [sys.executable, "-m", "stream_app", *sys.argv[1:], "--supervised"]
        raise typer.Exit(run(command, SystemClock()))
    loop = wiring.learner(definition, settings, exit_when_idle_s=exit_when_idle, instance_id=instance_id)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stopping.set())
    if supervised:
        watch_parent(sys.stdin.fileno(), loop.stopping)
    loop.run()
