"""The options that say how a file is read, of all commands that read one."""

from __future__ import annotations

from typing import Annotated

import typer

FILES = ".csv, .tsv or .jsonl, also .gz or .zip; or .parquet"
COLUMN = "COL"

Key = Annotated[str, typer.Option(metavar="COL", help="The column that names the entity.")]
EventId = Annotated[str | None, typer.Option(metavar="COL", help="The event's id; default FILE:ROW.")]
InlineLabel = Annotated[str | None, typer.Option(metavar="COL", help="Send this column inside the event.")]
Label = Annotated[str | None, typer.Option(metavar="COL", help="Send this column as a label record.")]
LabelDelay = Annotated[
    str | None, typer.Option(metavar="N|DURATION", help="How many events, or how long, late; default 0.")
]
TimeColumn = Annotated[str | None, typer.Option("--time", metavar="COL", help="Epoch ms, or ISO 8601.")]
TimeIn = Annotated[
    str,
    typer.Option(
        metavar="UNIT", help="s, ms, us, ns, UTC, or a format: '%d/%m/%Y %H:%M'. Of --label-time too."
    ),
]
LabelTime = Annotated[str | None, typer.Option(metavar="COL", help="When the label was known; as --time.")]
Features = Annotated[
    str, typer.Option(metavar="COL,…", help="Send these columns as features; default all others.")
]
Drop = Annotated[str, typer.Option(metavar="COL,…", help="Send these columns not at all.")]
Types = Annotated[
    str, typer.Option(metavar="COL=TYPE,…", help="number, string or bool where the file misleads.")
]
Delimiter = Annotated[str, typer.Option(help="Between fields; default as the first line suggests.")]
Decimal = Annotated[str, typer.Option(help="The decimal sign, . or ,; default as the numbers suggest.")]
Thousands = Annotated[str, typer.Option(help="Between groups of three digits: , . ' or a blank.")]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N rows.")]
