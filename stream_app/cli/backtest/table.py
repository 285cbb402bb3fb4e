"""A backtest as a table."""

from __future__ import annotations

from rich import box
from rich.table import Table

from stream_app.cli.drift.card import console as stdout
from stream_app.learner.history.backtest import Played

SHOWN_MARKS = 12
OTHERS = ("kappa", "f1", "log_loss", "rmse", "r2")


def show(played: Played) -> None:
    """Print the table, what it cost, and the first alarms and swaps."""
    console = stdout()
    table = Table(
        title=f"{played.app}: {played.events:,} events, {played.labels:,} labels", box=box.SIMPLE_HEAD
    )
    others = [name for name in OTHERS if any(name in line.scores for line in played.lines)]
    table.add_column("model")
    for title in (played.score, "95 % interval", *others, "labels", "µs a prediction", "size"):
        table.add_column(title.replace("_", " "), justify="right")
    for line in played.lines:
        name = line.name if line.version is None else f"{line.name} v{line.version}"
        table.add_row(
            name,
            number(line.scores.get(played.score)),
            "–" if line.low is None or line.high is None else f"{number(line.low)} to {number(line.high)}",
            *(number(line.scores.get(other)) for other in others),
            f"{line.scores['n']:,.0f}",
            "–" if line.predict_us is None else f"{line.predict_us:,.1f}",
            "–" if line.size is None else f"{line.size / 1024:,.0f} KiB",
        )
    console.print(table)
    say = (
        f"{played.us:,.0f} µs of processor time an event; {played.alarms:,} alarms, {played.swaps:,} swaps, "
    )
    console.print(f"{say}{played.rollbacks:,} rollbacks", highlight=False)
    if played.dead_letters:
        refused = ", ".join(f"{n:,} {reason}" for reason, n in sorted(played.dead_letters.items()))
        console.print(f"refused: {refused}", markup=False, highlight=False)
    for mark in played.marks[:SHOWN_MARKS]:
        where = f"shard {mark.shard}, " if any(one.shard for one in played.marks) else ""
        console.print(f"{where}event {mark.events:,}: {mark.message}", markup=False, highlight=False)
    if len(played.marks) > SHOWN_MARKS:
        console.print(f"{len(played.marks) - SHOWN_MARKS:,} more in --json", highlight=False)


def number(value: float | None) -> str:
    """A score with four significant digits, or a dash."""
    return "–" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
