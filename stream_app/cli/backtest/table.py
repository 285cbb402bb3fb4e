"""A backtest as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from stream_app.cli.drift.card import console as stdout
from stream_app.learner.history.backtest import Line, Played

SHOWN_MARKS = 12
OTHERS = ("kappa", "f1", "log_loss", "rmse", "r2")


def show(played: Played) -> None:
    """Print the table, what it cost, and the first alarms and swaps."""
    console = stdout()
    title = f"{played.target}: {played.events:,} events, {played.labels:,} labels"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("model")
    others = others_of(played)
    for head in heads(played.score, others):
        table.add_column(head, justify="right")
    for line in played.lines:
        table.add_row(line.title, *cells(line, played.score, others))
    console.print(table)
    console.print(summary(played), markup=False, highlight=False)
    for mark in played.marks[:SHOWN_MARKS]:
        where = f"shard {mark.shard}, " if any(one.shard for one in played.marks) else ""
        console.print(f"{where}event {mark.events:,}: {mark.message}", markup=False, highlight=False)
    if len(played.marks) > SHOWN_MARKS:
        console.print(f"{len(played.marks) - SHOWN_MARKS:,} more in --json and --html", highlight=False)


def others_of(played: Played) -> list[str]:
    """The scores that stand beside the first."""
    return [name for name in OTHERS if any(name in line.scores for line in played.lines)]


def heads(score: str, others: Sequence[str]) -> list[str]:
    """What stands above the cells of a line."""
    found = [score, "95 % interval", *others, "labels", "µs a prediction", "size"]
    return [name.replace("_", " ") for name in found]


def cells(line: Line, score: str, others: Sequence[str]) -> list[str]:
    """What stands beside a model's name."""
    return [
        number(line.scores.get(score)),
        "–" if line.low is None or line.high is None else f"{number(line.low)} to {number(line.high)}",
        *(number(line.scores.get(other)) for other in others),
        f"{line.scores['n']:,.0f}",
        "–" if line.predict_us is None else f"{line.predict_us:,.1f}",
        "–" if line.size is None else f"{line.size / 1024:,.0f} KiB",
    ]


def summary(played: Played) -> str:
    """What it cost, and what happened, in one line."""
    counts = {
        "alarms": played.alarms,
        "searches": played.searches,
        "swaps": played.swaps,
        "rollbacks": played.rollbacks,
    }
    parts = [f"{name} {n:,}" for name, n in counts.items()]
    parts += [f"refused as {reason} {n:,}" for reason, n in sorted(played.dead_letters.items())]
    return f"{played.us:,.0f} µs of processor time an event; {', '.join(parts)}"


def number(value: float | None) -> str:
    """A score with four significant digits, or a dash."""
    return "–" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
