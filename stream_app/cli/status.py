"""`stream-app status MODULE:APP`: who owns each shard, how far it is behind, what it has learned."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import typer

from stream_app.cli.context import load_app, print_json, settings_for
from stream_app.errors import printable

if TYPE_CHECKING:
    from stream_app.cli.condition import Condition
    from stream_app.inspect.bridge_condition import BridgeCondition

app = typer.Typer()
HEADINGS = ("shard", "owner", "behind", "champion", "learned", "waiting", "dead", "snapshot", "notes")
PIPED_WIDTH = 160
DIFFERS_FIX = (
    "Go back to what it was, or stop every learner (SIGTERM), run `stream-app upgrade MODULE:APP` and start "
    "them again; else the next start is refused"
)
LONG = {"s": 60, "min": 3_600, "h": 86_400}  # up to so many seconds in this unit


@app.command()
def status(
    target: str = typer.Argument(..., metavar="MODULE:APP"),
    json: bool = typer.Option(False, "--json", help="One JSON object per shard."),
) -> None:
    """Show each shard's owner, lag, waiting rows, champion and snapshot, whether or not a learner runs."""
    from stream_app.adapters.kafka_admin import TopicAdmin
    from stream_app.cli.condition import conditions
    from stream_app.definition.digest import definition_hash
    from stream_app.inspect.bridge_condition import bridge_condition
    from stream_app.wiring.topics import catalog_for

    definition, settings = load_app(target, models=False), settings_for()
    found = conditions(definition, settings, catalog_for(definition, settings))
    bridge = None
    if definition.is_bridged:
        with TopicAdmin(settings.kafka.kafka_python()) as admin:
            bridge = bridge_condition(definition, admin, settings.kafka.kafka_python())
    # Only a learner that runs can differ: the next one refuses to start with another definition.
    runs = {shard.definition for shard in found if shard.owner and shard.definition}
    differs = bool(runs) and runs != {definition_hash(definition)}
    if json:
        for shard in found:
            more = {"bridge": msgspec.to_builtins(bridge), "definition_differs": differs}
            print_json({**msgspec.to_builtins(shard), **more})
    else:
        draw(definition.name, found)
        if bridge is not None:
            sys.stdout.write(f"bridge: {bridged(bridge)}\n")
    if differs:
        sys.stderr.write(f"{target} on disk differs from what the learner runs; fix: {DIFFERS_FIX}\n")


def draw(name: str, found: list[Condition]) -> None:
    """The same as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    table = Table(title=name)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for shard in found:
        table.add_row(*(printable(cell) for cell in cells(shard)))
    console.print(table)


def cells(shard: Condition) -> list[str]:
    """One line of the table."""
    behind = ", ".join(
        f"{found.lag:,} {name} ({duration(found.lag_s)})" for name, found in shard.inputs.items() if found.lag
    )
    dead = None if shard.dead_letters is None else sum(shard.dead_letters.values())
    return [
        str(shard.shard),
        shard.owner or "none",
        behind or "nothing",
        "{name} v{version}".format(**shard.champion) if shard.champion else "–",
        count(shard.learned),
        count(shard.pending),
        count(dead),
        snapshot(shard),
        ", ".join(notes(shard)),
    ]


def bridged(bridge: BridgeCondition) -> str:
    """Whether somebody bridges, and what is not copied."""
    who = {0: "nobody runs it", 1: "runs"}.get(bridge.members, f"runs, {bridge.members - 1} stand by")
    behind = ", ".join(f"{n:,} of {topic}" for topic, n in bridge.behind.items() if n)
    lost = f"; {bridge.lost:,} were deleted before they were copied" if bridge.lost else ""
    waiting = f"; labels without an event yet: {bridge.waiting_labels:,}" if bridge.waiting_labels else ""
    return f"{who}; {f'not copied yet: {behind}' if behind else 'all is copied'}{lost}{waiting}"


def notes(shard: Condition) -> Iterator[str]:
    """What a person should know beside the numbers."""
    if shard.halted is not None:
        yield f"halted: {shard.halted}"
    if shard.failing is not None:
        yield f"failing: {shard.failing}"
    if shard.waits is not None:
        yield f"waits: {shard.waits}"
    if shard.last_owner is None and shard.epoch:
        yield "no learner ran yet; the next one goes on behind a history or a backup"
    elif shard.last_owner is None:
        yield "no learner ever ran"
    elif shard.owner is None:
        yield f"last owner {shard.last_owner}"
    if shard.paused:
        yield "paused"
    if shard.idle:
        yield "idle: no events come"
    for name, found in shard.inputs.items():
        if found.lost:
            yield f"{found.lost:,} {name} were deleted before they were read"
    if shard.view_caught_up is False and shard.last_owner is not None:
        yield "Redis is behind or silent"
    if shard.stats_age_s is not None and not shard.stats_fresh:
        yield f"learner statistics are as of {duration(shard.stats_age_s)} ago"


def snapshot(shard: Condition) -> str:
    """The newest snapshot; its age is known to the learner that wrote it."""
    if shard.snapshot_seq is None:
        return "none"
    if shard.snapshot_age_s is None:
        return f"at batch {shard.snapshot_seq}"
    return f"{duration(shard.snapshot_age_s)} old"


def count(number: int | None) -> str:
    """A number that may be unknown."""
    return "–" if number is None else f"{number:,}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    divisor = 1
    for unit, bound in LONG.items():
        if seconds < bound:
            return f"{seconds / divisor:.0f} {unit}"
        divisor = bound
    return f"{seconds / divisor:.0f} d"
