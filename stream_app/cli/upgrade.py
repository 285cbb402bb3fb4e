"""`stream-app upgrade MODULE:APP`: a changed definition enters a new epoch."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for
from stream_app.cli.orders import check_shard
from stream_app.errors import Refused, UsageError

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.learner.history.starts import Wish
    from stream_app.learner.history.upgrade import Plan

app = typer.Typer()


@app.command()
def upgrade(
    target: str = typer.Argument(..., metavar="MODULE:APP", help="The changed definition, or path.py:attr."),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Show what would be kept and what starts from nothing."
    ),
    restart: list[str] = typer.Option(
        [], metavar="SLOT", help="Start this slot fresh, or `all`, whatever it has learned; repeatable."
    ),
    relearn: list[str] = typer.Option(
        [],
        metavar="SLOT[=DURATION]",
        help="Start this slot fresh, or `all`, and let it learn again what the log retains, or so long a "
        "part of it (30d); repeatable.",
    ),
    from_log: bool = typer.Option(
        False, "--from-log", help="Use no snapshot: learn again what the inputs retain."
    ),
    accept_divergence: int | None = typer.Option(
        None, metavar="SEQ", help="Go on though the replay of this batch comes to another digest."
    ),
    shard: int | None = typer.Option(None, min=0, help="Only this shard."),
    yes: bool = typer.Option(False, "--yes", help="Give up what a plan names, without asking."),
    json: bool = typer.Option(False, "--json", help="One JSON object per shard."),
    admission: bool = typer.Option(True, help="Check first that the definition can be replayed."),
) -> None:
    """Open a new epoch: unchanged slots are carried over, changed ones start fresh. No learner may run.

    Batches after the newest snapshot are replayed under the definition as it is now. What that gives up is
    said first (`--dry-run`), asked for, and journaled.
    """
    pin()
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring import learner as wiring

    configure_logs()
    definition, settings = load_app(target), settings_for()
    check_shard(definition, shard)
    wish = wished(definition, accept_divergence, restart, relearn, from_log=from_log)
    sample_run = None
    if admission:
        from stream_app.definition.admission import admit

        sample_run = admit(target)
    plans = wiring.upgrade(
        definition, settings, partial(agreed, yes=yes), wish, sample_run, dry_run=dry_run, only=shard
    )
    for plan in plans:
        if json:
            print_json({**msgspec.structs.asdict(plan), "done": bool(plan.changed) and not dry_run})
        elif not plan.changed:
            sys.stdout.write(f"shard {plan.shard}: nothing changed\n")
        elif not plan.carried and not plan.fresh:
            verb = "would set" if dry_run else "set"
            sys.stdout.write(f"shard {plan.shard}: {verb} {', '.join(plan.changed)}\n")
        else:
            verb = "would enter" if dry_run else "entered"
            sys.stdout.write(
                f"shard {plan.shard}: {verb} epoch {plan.epoch} at seq {plan.seq}\n"
                f"  differs: {', '.join(plan.changed)}\n"
                f"  carried over: {', '.join(plan.carried) or 'nothing'}\n"
                f"  starts fresh: {', '.join(plan.fresh) or 'nothing'}\n"
                + "".join(f"  given up: {what}\n" for what in plan.given_up)
            )


def wished(
    definition: Application,
    accept_divergence: int | None,
    restart: list[str],
    relearn: list[str],
    *,
    from_log: bool,
) -> Wish:
    """What the options ask for.

    Raises:
        UsageError: a slot that is not in the definition, or options that exclude each other.
    """
    from stream_app.learner.history.starts import Wish

    known = ["champion", *definition.challengers]
    again = dict(part_of_the_log(text) for text in relearn)
    for option, names in (("--restart", restart), ("--relearn", list(again))):
        for name in names:
            if name not in (*known, "all"):
                raise UsageError(
                    f"{option} {name}: no slot has that name", f"Choose from all, {', '.join(known)}"
                )
    if accept_divergence is not None and (from_log or restart or again):
        raise UsageError(
            "--accept-divergence goes with none of --from-log, --restart and --relearn",
            "Those compare no digests, so no batch needs to be accepted",
        )
    if from_log and again:
        raise UsageError("--from-log and --relearn exclude each other", "The first relearns every slot")
    return Wish(accept_divergence, tuple(restart), from_log, tuple(again.items()))


def part_of_the_log(text: str) -> tuple[str, int | None]:
    """A slot, and for how long a part of the log it learns again, in ms; None is all of it.

    >>> part_of_the_log("tree=2h"), part_of_the_log("tree=all"), part_of_the_log("tree")
    (('tree', 7200000), ('tree', None), ('tree', None))

    Raises:
        UsageError: it is not a duration.
    """
    from stream_app.durations import parse_duration

    name, _, duration = text.partition("=")
    return name, None if duration in ("", "all") else parse_duration(duration)


def agreed(plan: Plan, *, yes: bool) -> None:
    """Ask a person at a terminal before anything is given up; elsewhere `--yes` must say so.

    Raises:
        Refused: it was not agreed to; nothing was written.
    """
    if not plan.given_up or yes:
        return
    listed = "; ".join(plan.given_up)
    if sys.stdin.isatty() and typer.confirm(f"shard {plan.shard} gives up: {listed}. Go on?", err=True):
        return
    raise Refused(
        f"shard {plan.shard} would give up: {listed}",
        "Add --yes if that is what you want; --dry-run shows all",
    )
