"""`stream-app what-if MODULE:APP --definition OTHER:APP`: what another definition would have served."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from stream_app.cli.context import load_app, pin, print_json, settings_for
from stream_app.cli.past import open_past
from stream_app.errors import UsageError

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.learner.history.lines import Storage
    from stream_app.learner.history.other_definition import Compared, Exclusion

app = typer.Typer()


@app.command()
def what_if(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The application that was recorded.")],
    definition: Annotated[
        list[str], typer.Option(metavar="OTHER:APP", help="The other definition; may be repeated.")
    ] = [],  # noqa: B006  Typer makes a new one
    exclude_key: Annotated[
        list[str],
        typer.Option(metavar="KEY", help="Leave out this entity's events and labels; may be repeated."),
    ] = [],  # noqa: B006
    exclude_time: Annotated[
        list[str],
        typer.Option(
            metavar="FROM..TO",
            help="Leave out events and labels from FROM to just before TO (ISO 8601 with an offset), and "
            "the labels of these events; may be repeated.",
        ),
    ] = [],  # noqa: B006
    shard: Annotated[int | None, typer.Option(metavar="N", min=0, help="Only this shard.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per shard and variant.")] = False,
) -> None:
    """Show what another definition would have served of the recorded history, beside what was served.

    Other models, features, challengers, detectors, swap policies or a blend: the retained inputs go through
    the same core in the journal's order, once as they were served, digests compared, and once for each other
    definition. It begins with new models. Where only detectors, swap policies or the blend differ and the
    history no longer reaches back to the beginning, it goes on with the live models of that point.

    Scores are compared on the events that both answered. What is excluded is left out for the other
    definitions alone; without --definition, for MODULE:APP itself. Nothing is written, committed or joined.
    """
    pin()
    from rich.console import Console

    from stream_app.cli.orders import check_shard
    from stream_app.learner.history.other_definition import check_comparable, replay_definitions
    from stream_app.learner.logs import configure_logs
    from stream_app.wiring.past import past_opener

    configure_logs()
    exclusion = exclusion_of(exclude_key, exclude_time)
    if not definition and exclusion.is_empty:
        raise UsageError(
            "there is nothing to compare with", "Name another definition: --definition OTHER:APP"
        )
    recorded, *others = definitions_of([target, *(definition or [target])])
    titled = dict(zip(definition or [f"{target}, without what is excluded"], others, strict=True))
    check_comparable(recorded, titled)
    check_shard(recorded, shard)
    opener, found, left_out = past_opener(recorded, settings_for()), False, Counter[str]()
    for number in range(recorded.shards) if shard is None else (shard,):
        with open_past(opener, number) as past:
            rows = replay_definitions(past, titled, exclusion, storage_of)
        found = found or bool(rows)
        for row in rows[1:]:
            left_out.update(row.skipped_by)
        if json:
            for row in rows:
                print_json(line(row))
        elif rows:
            show(rows)
    if not found:
        raise UsageError(
            f"nothing of {recorded.name} is retained that could be replayed",
            "Run a learner first; where inputs are deleted before a day is over, raise retention.bytes",
        )
    console = Console(file=sys.stderr)
    for text, n in left_out.items():
        if not n:
            console.print(f"{text} leaves out nothing: no replayed record has it", markup=False)


def definitions_of(targets: Sequence[str]) -> list[Application]:
    """Load the definitions, each module once.

    Raises:
        UsageError: two files would be one module, so that models of the first could not be stored.
    """
    files: dict[str, str | None] = {}
    found: list[Application] = []
    for target in targets:
        definition = load_app(target)
        file = getattr(sys.modules[definition.home], "__file__", None)
        known = files.setdefault(definition.home, file)
        if known != file:
            raise UsageError(
                f"{known} and {file} are both the module {definition.home}", "Rename one of the files"
            )
        found.append(definition)
    return found


def storage_of(definition: Application) -> Storage:
    """How a definition's models are stored and loaded."""
    from stream_app.adapters.pickled import dump, refill_sets
    from stream_app.adapters.unpickler import unpickle
    from stream_app.learner.history.lines import Storage

    return Storage(dump, lambda payload: unpickle(payload, definition.modules), refill_sets)


def exclusion_of(keys: Sequence[str], spans: Sequence[str]) -> Exclusion:
    """What the options leave out.

    Raises:
        UsageError: a span has no two times, or ends before it begins.
    """
    from stream_app.client.checks import encoded_key
    from stream_app.learner.history.other_definition import Exclusion

    return Exclusion(
        {encoded_key(key): f"--exclude-key {key}" for key in keys},
        {span_of(span): f"--exclude-time {span}" for span in spans},
    )


def span_of(text: str) -> tuple[int, int]:
    """Both ends of FROM..TO in epoch ms.

    >>> span_of("2026-01-31T12:00:00+00:00..2026-01-31T12:00:01+00:00")
    (1769860800000, 1769860801000)

    Raises:
        UsageError: it is not two times with an offset, the earlier one first.
    """
    remedy = (
        "Write FROM..TO in ISO 8601 with an offset (2026-01-31T12:00:00+00:00..2026-01-31T13:00:00+00:00)"
    )
    ends: list[int] = []
    for part in text.split(".."):
        try:
            moment = datetime.fromisoformat(part)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise UsageError(f"--exclude-time {text!r}: {part!r} is not a time with an offset", remedy)
        ends.append(round(moment.timestamp() * 1000))
    if len(ends) != 2 or ends[0] >= ends[1]:
        raise UsageError(f"--exclude-time {text!r} does not name two times, the earlier one first", remedy)
    return ends[0], ends[1]


def line(row: Compared) -> dict[str, Any]:
    """One row as JSON."""
    document: dict[str, Any] = msgspec.to_builtins(row)
    return {**document.pop("outcome"), **document}


def show(rows: Sequence[Compared]) -> None:
    """The table of one shard, and below it how each variant began and when it swapped."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from stream_app.cli.drift.card import console as stdout
    from stream_app.cli.drift.topic import SOURCES, show_changes

    live, console = rows[0].outcome, stdout()
    table = Table(
        title=f"shard {live.shard}: what would have been served, from {SOURCES[live.source]}, "
        f"{live.predictions:,} predictions",
        caption="difference: to what was served of the same events",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("definition", overflow="fold")  # two of one file differ in the last letters
    for name in live.scores:
        for title in (name, "difference", f"{name}, last fourth", "difference"):
            table.add_column(title, justify="right")
    for title in ("alarms", "hunts", "swaps", "rollbacks"):
        table.add_column(title, justify="right")
    for row in rows:
        one, cells = row.outcome, []
        for name in live.scores:
            for scores, gained in ((one.scores, row.gained), (one.last, row.gained_last)):
                cells.append(f"{scores[name]:.4f}" if name in scores else "–")
                cells.append(f"{gained[name]:+.4f}" if one is not live and name in gained else "")
        counts = (one.alarms, one.hunts, one.swaps, one.rollbacks)
        table.add_row(Text(one.variant), *cells, *(f"{count:,}" for count in counts))
    console.print(table)
    for row in rows:
        console.print(summary(row), markup=False, highlight=False, soft_wrap=True)
    show_changes(console, [row.outcome for row in rows])


def summary(row: Compared) -> str:
    """How a variant began, what it saw and refused, and its further scores, in one line."""
    one = row.outcome
    parts = [row.begins, f"{one.predictions:,} predictions, {one.scored:,} with a label"]
    if one.further:
        parts.append(", ".join(f"{name} {value:.4f}" for name, value in one.further.items()))
    if row.skipped:
        parts.append(f"{row.skipped:,} records excluded")
    if row.dead_letters:
        letters = ", ".join(f"{reason} {n:,}" for reason, n in sorted(row.dead_letters.items()))
        parts.append(f"dead letters: {letters}")
    return f"{one.variant}: {'; '.join(parts)}"
