"""`stream-app learn MODULE:APP`: the learner under its supervisor."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext

import structlog
import typer

from stream_app.cli.context import check_view, load_app, pin, settings_for
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
    marks: int | None = typer.Option(None, hidden=True, help="The descriptor of the file of step marks."),
    life: int = typer.Option(0, hidden=True, help="Which start this is under a supervisor; 0 without one."),
    admission: bool = typer.Option(True, help="Check first that the definition can be replayed."),
) -> None:
    """Predict every event and learn every label, exactly once; ends with SIGTERM."""
    pin()
    from stream_app.learner.logs import configure_logs

    configure_logs()
    if supervise and not life:
        from stream_app.adapters.clock import SystemClock
        from stream_app.learner.step_marks import marks_file
        from stream_app.learner.supervisor import supervise as run
        from stream_app.own_process import own_command

        with marks_file() as file:
            number = file.fileno()
            command = own_command(*sys.argv[1:], "--marks", str(number), "--life")
            raise typer.Exit(run(command, SystemClock(), number))
    try:
        work(target, exit_when_idle, instance_id, life=life, admission=admission, marks=marks)
    except Unreachable as error:
        if life < 2:  # a person reads the error; later only the supervisor sees it, and starts it again
            raise
        structlog.get_logger().error("cannot start now", why=str(error))
        raise typer.Exit(TRY_AGAIN) from error


def work(
    target: str,
    exit_when_idle: float | None,
    instance_id: str | None,
    *,
    life: int,
    admission: bool,
    marks: int | None = None,
) -> None:
    """Learn until a signal, or idleness, ends it.

    Raises:
        UsageError: the target names no definition.
        Refused: the definition is not admitted, or the learner may not go on from the journal.
        Unreachable: a server does not answer now.
    """
    from stream_app.definition.admission import Admission, sample_run
    from stream_app.flow.build import flow_build

    structlog.get_logger().info("starting", target=target, flow=flow_build())

    # Its processes start first: they take as long as everything else that has to be loaded. Later lives, and
    # one without a supervisor, only run the sample.
    with Admission(target) if admission and life == 1 else nullcontext() as admitting:
        if admitting:
            structlog.get_logger().info("checking that the definition can be replayed", target=target)
        definition = load_app(target)

        from stream_app.cli.first_rows import first_rows
        from stream_app.learner.step_marks import StepMarks
        from stream_app.learner.supervisor import watch_parent
        from stream_app.wiring import learner as wiring

        settings = settings_for(redis=True)
        if life < 2:  # a person looks; later Redis, which is never the truth, keeps no learner from its work
            check_view(settings)

        def run_the_sample() -> str | None:
            if admitting:
                return admitting.conclude(
                    lambda: [] if definition.sample else first_rows(definition, settings)
                )
            return sample_run(definition) if admission else None

        loop = wiring.learner(
            definition,
            settings,
            run_the_sample,
            exit_when_idle_s=exit_when_idle,
            instance_id=instance_id,
            restarted=life > 1,
            marks=StepMarks(marks),
        )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stopping.set())
    if life:
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
