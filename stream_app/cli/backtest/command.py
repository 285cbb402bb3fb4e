"""`stream-app backtest MODULE:APP FILE`: a file through the live step, without servers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import typer

from stream_app.cli.context import check_writable, load_app, owner_only, pin, print_json
from stream_app.cli.produce.options import (
    FILES,
    Decimal,
    Delimiter,
    Drop,
    EventId,
    Features,
    InlineLabel,
    Label,
    LabelDelay,
    LabelTime,
    Limit,
    Thousands,
    TimeColumn,
    TimeIn,
    Types,
)
from stream_app.errors import UsageError

if TYPE_CHECKING:
    from stream_app.application import Application
    from stream_app.cli.produce.reading import Options, Reading
    from stream_app.learner.history.backtest import Played

app = typer.Typer()


@app.command()
def backtest(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP")],
    file: Annotated[Path, typer.Argument(help=f"{FILES}; or river:NAME, a data set of River's")],
    key: Annotated[
        str | None,
        typer.Option(metavar="COL", help="The column that names the entity; default: each row is one."),
    ] = None,
    event_id: EventId = None,
    inline_label: InlineLabel = None,
    label: Label = None,
    label_delay: LabelDelay = None,
    time_column: TimeColumn = None,
    time_in: TimeIn = "ms",
    label_time: LabelTime = None,
    features: Features = "",
    drop: Drop = "",
    types: Types = "",
    delimiter: Delimiter = "",
    decimal: Decimal = "",
    thousands: Thousands = "",
    limit: Limit = None,
    compare: Annotated[
        list[str], typer.Option(metavar="OTHER:APP", help="Another definition beside it; may be repeated.")
    ] = [],  # noqa: B006  Typer makes a new one
    boosted: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=50, help="Beside it, gradient-boosted trees fitted again every N labels."
        ),
    ] = None,
    slices: Annotated[
        list[str],
        typer.Option("--slice", metavar="COL", help="Scores by this feature's values; may be repeated."),
    ] = [],  # noqa: B006
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write each scored prediction of the first as a line of JSON."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page, too.")] = None,
    json: bool = typer.Option(False, "--json", help="One JSON object for each definition."),
) -> None:
    """Show what a definition would have served of a file: no server, the live step, to the bit.

    A prediction counts as it was served, once its label has come. Beside the models stands the last label, an
    answer that needs no model; with --boosted (pip install 'stream-app[boosted]') also what is not online.
    """
    pin()
    owner_only()
    from stream_app.cli.produce.reading import Options

    if not (label or inline_label):
        raise UsageError("nothing says which column is the label", "Name it: --label COL")
    options = Options(
        key,
        event_id,
        inline_label,
        label,
        label_delay,
        time_column,
        time_in,
        label_time,
        features,
        drop,
        types,
        limit,
        delimiter,
        decimal,
        thousands,
    )
    for written in (html, predictions):
        check_writable(written)
    definitions = {one: load_app(one) for one in (target, *compare)}
    found = []
    for one, definition in definitions.items():
        if definition.labels is None:
            raise UsageError(
                f"{one} learns without labels, so nothing can be scored", "Name one with labels="
            )
        wanted = Wanted(boosted, slices, predictions if one == target else None)
        played = play(one, definition, file, options, wanted)
        found.append(played)
        if json:
            print_json(msgspec.to_builtins(played))
        else:
            from stream_app.cli.backtest.table import show

            show(played)
    if html is not None:
        from stream_app.cli.backtest.page import write

        late = f", labels {label_delay} late" if label_delay else ""
        write(html, found, f"{file}{late}. A prediction counts as it was served, once its label has come.")
        sys.stderr.write(f"wrote {html}\n")


class Wanted(NamedTuple):
    """What is looked at beside the scores."""

    boosted: int | None
    slices: Sequence[str]
    predictions: Path | None


def play(target: str, definition: Application, file: Path, options: Options, wanted: Wanted) -> Played:
    """Run one definition over the file."""
    from contextlib import ExitStack

    from rich.console import Console

    from stream_app.adapters.pickled import dump, refill_sets
    from stream_app.adapters.unpickler import unpickle
    from stream_app.cli.backtest.records import records
    from stream_app.cli.backtest.written import writer
    from stream_app.cli.produce.reading import read
    from stream_app.learner.history.backtest import Beside, backtest
    from stream_app.learner.history.lines import Storage

    reading = read(definition, file, options)
    check_slices(definition, reading, wanted.slices)
    rivals = {}
    if wanted.boosted is not None:
        from stream_app.cli.backtest.boosted import Boosted

        name = f"boosted trees, every {wanted.boosted:,}"
        rivals[name] = Boosted(wanted.boosted, classify=definition.task != "regression")
    n = len(reading.rows) * (2 if reading.columns.label else 1)
    console = Console(file=sys.stderr)
    with ExitStack() as stack:
        status = stack.enter_context(console.status(f"{target}: 0 of {n:,} records"))
        write = None
        if wanted.predictions is not None:
            write = writer(stack.enter_context(wanted.predictions.open("wb")))
        played = backtest(
            definition,
            records(reading, definition.shards),
            n,
            Storage(dump, lambda payload: unpickle(payload, definition.modules), refill_sets),
            lambda done: status.update(f"{target}: {done:,} of {n:,} records"),
            Beside(wanted.slices, rivals, write),
        )
    played.target = target
    return played


def check_slices(definition: Application, reading: Reading, columns: Sequence[str]) -> None:
    """Refuse a column that no model sees.

    Raises:
        UsageError: there is one.
    """
    known = {*reading.columns.features, *(feature.name for feature in definition.features)}
    for name in columns:
        if name not in known:
            raise UsageError(
                f"--slice {name}: no feature has that name", f"Choose of {', '.join(sorted(known))}"
            )
