"""`stream-app drift bench`: detectors on known drifts, or other detectors and policies on your own topic."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from stream_app.cli.context import print_json
from stream_app.errors import UsageError

if TYPE_CHECKING:
    from drift.detectors import Detect

app = typer.Typer(no_args_is_help=True, help="Compare drift detectors and swap policies.")
SHORTEST = 100  # events of a stream; below, no detector has seen enough to judge


@app.callback()
def drift() -> None:
    """Compare drift detectors and swap policies."""


@app.command()
def bench(
    target: str | None = typer.Argument(None, metavar="[MODULE:APP]", help="With --from-topic."),
    detector: list[str] = typer.Option(
        [], metavar="NAME[:KEY=VALUE…]", help="One more detector, e.g. adwin:delta=0.0001; may be repeated."
    ),
    seeds: int = typer.Option(5, metavar="N", min=1, help="Runs of each known stream."),
    events: int = typer.Option(10_000, metavar="N", min=SHORTEST, help="Length of each known stream."),
    from_topic: bool = typer.Option(
        False, "--from-topic", help="Replay what MODULE:APP has retained; nothing is touched."
    ),
    policy: str | None = typer.Option(
        None, metavar="P,…", help="With --from-topic: swap policies to compare, and blend; default all."
    ),
    shard: int | None = typer.Option(None, metavar="N", min=0, help="With --from-topic: only this shard."),
    json: bool = typer.Option(False, "--json", help="One JSON object per row."),
) -> None:
    """Score detectors on known drifts, or replay your topic under other detectors and policies.

    Known drifts: River's generators (abrupt, gradual, recurring, moving, stationary) go through a
    HoeffdingTree, and its losses through every detector that judges losses, beside an alarm at every event
    and none at all.

    --from-topic: the retained inputs go through the same core in the journal's order, once as they were
    served, digests compared, and once for each policy and detector. Give --detector for others than the
    definition's on the loss. Nothing is written, committed or joined.
    """
    chosen = {text: detect_of(text) for text in detector}
    if from_topic:
        if target is None:
            raise UsageError("--from-topic needs an application", "Give its MODULE:APP, or path.py:app")
        from stream_app.cli.drift.topic import from_its_topic

        return from_its_topic(target, policies_of(policy), chosen, shard, json=json)
    if target is not None or policy is not None or shard is not None:
        raise UsageError("MODULE:APP, --policy and --shard belong to a topic", "Add --from-topic")
    return known_drifts(chosen, seeds, events, json=json)


def known_drifts(chosen: dict[str, Detect], seeds: int, events: int, *, json: bool) -> None:
    """The report card."""
    from rich.console import Console
    from rich.progress import track

    from stream_app.cli.drift.card import Cell, card, line, pool, table
    from stream_app.cli.drift.card import console as stdout
    from stream_app.cli.drift.streams import KINDS, STREAMS, losses

    detects = {**of_losses(), **chosen}
    runs = [(name, seed) for name in STREAMS for seed in range(1, seeds + 1)]
    cells: dict[tuple[str, str], dict[str, Cell]] = {}
    console = Console(file=sys.stderr)
    for name, seed in track(runs, "streams", console=console, transient=True):
        stream = STREAMS[name]
        found = card(detects, losses(stream, seed, events), stream.drifts(events))
        earlier = cells.get((name, stream.kind))
        cells[name, stream.kind] = {
            one: cell if earlier is None else earlier[one] + cell for one, cell in found.items()
        }
        if json and seed == seeds:
            for one, cell in cells[name, stream.kind].items():
                print_json(line(name, stream.kind, one, cell))
    if json:
        for one in next(iter(cells.values())):
            print_json(line("all", "all", one, pool(by[one] for by in cells.values())))
    else:
        stdout().print(table(cells, KINDS))


def of_losses() -> dict[str, Detect]:
    """Every detector that judges losses, at its defaults."""
    from drift.detectors import CATEGORICAL, MAKERS, Detect

    return {name: Detect(name) for name in MAKERS if name not in CATEGORICAL}


def detect_of(text: str) -> Detect:
    """A detector of losses from `NAME[:key=value…]`, its parts separated by colons or commas.

    Raises:
        UsageError: no such detector or parameter, or no value.
    """
    from drift.detectors import CATEGORICAL, Detect

    name, *parts = text.replace(",", ":").split(":")
    known = ", ".join(of_losses())
    if name in CATEGORICAL:
        raise UsageError(f"{name} compares categories and judges no losses", f"Choose one of {known}")
    params: dict[str, Any] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not key.isidentifier() or not equals or key in {"name", "signal"}:
            raise UsageError(f"{part!r} in --detector {text} is not a parameter", "Write NAME:key=value:…")
        params[key] = value_of(value)
    try:
        return Detect(name, **params)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"--detector {text}: {error}", f"Choose one of {known}, with parameters that it has"
        ) from error


def value_of(text: str) -> Any:
    """A number or a truth value, else the text.

    >>> value_of("5"), value_of("1e-5"), value_of("true"), value_of("x")
    (5, 1e-05, True, 'x')
    """
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def policies_of(text: str | None) -> tuple[str, ...]:
    """Swap policies by name, each once, and `blend`.

    Raises:
        UsageError: there is no such policy.
    """
    from drift.rule import POLICIES
    from stream_app.state.blend import BLEND

    known = (*POLICIES, BLEND)
    if text is None:
        return known
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise UsageError(f"unknown policy {name!r}", f"Choose from {', '.join(known)}")
    return names
