"""`drift bench --from-topic`: what other detectors and policies had done to an application's own topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.cli.context import load_app, pin, print_json, settings_for
from stream_app.cli.past import open_past
from stream_app.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from drift.detectors import Detect
    from stream_app.application import Application
    from stream_app.learner.history.variant import Outcome


def from_its_topic(
    target: str, policies: Sequence[str], chosen: Mapping[str, Detect], shard: int | None, *, json: bool
) -> None:
    """Replay each shard that is asked for and print the outcomes.

    Raises:
        UsageError: no such shard, no labels, a detector that does not fit, or nothing to replay.
    """
    pin()
    from stream_app.cli.orders import check_shard
    from stream_app.learner.history.whatif import replay_variants
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.past import past_opener

    configure_logs()
    definition = load_app(target)
    if definition.labels is None:
        raise UsageError(
            f"{definition.name} learns without labels, so nothing there swaps", "Leave --from-topic out"
        )
    check_shard(definition, shard)
    variants = variants_of(definition, policies, chosen)
    opener = past_opener(definition, settings_for())
    outcomes: list[Outcome] = []
    for number in range(definition.shards) if shard is None else (shard,):
        with open_past(opener, number) as past:
            replayed = replay_variants(past, variants)
        outcomes += replayed
        if json:
            for outcome in replayed:
                print_json(line(outcome, replayed[0]))
        elif replayed:
            show(replayed)
    if not outcomes:
        raise UsageError(
            f"nothing of {definition.name} is retained that could be replayed",
            "Run a learner first; where inputs are deleted before a day is over, raise retention.bytes",
        )


def variants_of(
    app: Application, policies: Sequence[str], chosen: Mapping[str, Detect]
) -> dict[str, Application]:
    """Each policy with the definition's detectors, then with each chosen one on the loss in their place.

    `blend` is no swap policy: all models answer as one.

    Raises:
        UsageError: a detector does not fit the task.
    """
    from drift.blend import Blend
    from drift.signals import LOSS
    from stream_app.state.blend import BLEND

    others = tuple(one for one in app.drift or () if one.signal != LOSS)
    sets = {"": tuple(app.drift or ()), **{name: (detect, *others) for name, detect in chosen.items()}}
    blends = isinstance(app.serve, Blend)
    live = BLEND if blends else app.swap.policy
    found: dict[str, Application] = {}
    for name, detects in sets.items():
        for policy in policies:
            if (policy == live and not name) or (policy == BLEND and app.task == "anomaly"):
                continue
            title = f"{policy} {name}".rstrip()
            if policy == BLEND:
                found[title] = replace(app, drift=detects, serve=app.serve if blends else Blend())
            else:
                swap = replace(app.swap, policy=policy)
                found[title] = replace(app, drift=detects, serve="champion", swap=swap)
    return found


def line(outcome: Outcome, live: Outcome) -> dict[str, Any]:
    """One row as JSON; `gained` is its score less the live one's."""
    row = msgspec.structs.asdict(outcome)
    changes = [msgspec.structs.asdict(change) for change in outcome.changes]
    return {**row, "changes": changes, "gained": gained(outcome, live)}


def gained(outcome: Outcome, live: Outcome) -> dict[str, float]:
    """Each score beside the live one's; of an accuracy more is better, of an error less."""
    return {name: value - live.scores[name] for name, value in outcome.scores.items()}


def show(outcomes: Sequence[Outcome]) -> None:
    """The table of one shard, and below it when each variant had swapped."""
    from rich import box
    from rich.table import Table

    from stream_app.cli.drift.card import console as stdout

    live, console = outcomes[0], stdout()
    table = Table(
        title=f"shard {live.shard}: what would have been served, from {SOURCES[live.source]}, "
        f"{live.predictions:,} predictions",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("variant")
    for name in live.scores:
        for title in (name, "beside live", f"{name}, last fourth"):
            table.add_column(title, justify="right")
    for title in ("alarms", "hunts", "swaps", "rollbacks"):
        table.add_column(title, justify="right")
    for one in outcomes:
        cells = []
        for name, value in one.scores.items():
            beside = "" if one is live else f"{gained(one, live)[name]:+.4f}"
            cells += [f"{value:.4f}", beside, f"{one.last[name]:.4f}" if one.last else "–"]
        counts = (one.alarms, one.hunts, one.swaps, one.rollbacks)
        table.add_row(one.variant, *cells, *(f"{count:,}" for count in counts))
    console.print(table)
    show_changes(console, outcomes)


def show_changes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print when each variant changed its model, a line for each change."""
    for one in outcomes:
        for change in one.changes:
            when = datetime.fromtimestamp(change.time_ms / 1000, UTC).isoformat(" ", "milliseconds")
            console.print(
                f"{one.variant}: {change.type} v{change.parent} → v{change.version} "
                f"at {change.input} offset {change.offset:,} (log time {when})",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


SOURCES = {"earliest": "the earliest point whose inputs are retained", "snapshot": "the newest snapshot"}
