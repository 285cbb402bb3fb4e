"""A backtest as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from stream_app.cli.drift.card import console as stdout
from stream_app.learner.history.backtest import Mark, Played
from stream_app.learner.history.breakdown import BINS, calibration_error
from stream_app.learner.history.hearing import refusals
from stream_app.learner.history.lines import Line

SHOWN_MARKS = 12
OTHERS = ("kappa", "f1", "log_loss", "rmse", "r2")


def show(played: Played) -> None:
    """Print the table, what it cost, and the first alarms and swaps."""
    console = stdout()
    title = f"{played.target}: {played.events:,} events, {played.labels:,} labels"
    table = Table(title=Text(title), box=box.SIMPLE_HEAD)  # a Text: `:euro:` in a path is no emoji
    table.add_column("model")
    others = others_of(played)
    for head in heads(played.score, others):
        table.add_column(head, justify="right")
    for line in played.lines:
        table.add_row(line.title, *cells(line, played.score, others))
    console.print(table)
    console.print(summary(played), markup=False, highlight=False)
    for said in (*calibrated(played), *sliced(played)):
        console.print(said, markup=False, highlight=False)
    for said in (*refusals(played.dead_letters, played.first_refused), *events(played.marks[:SHOWN_MARKS])):
        console.print(said, markup=False, highlight=False)
    if len(played.marks) > SHOWN_MARKS:
        console.print(f"{len(played.marks) - SHOWN_MARKS:,} more in --json and --html", highlight=False)


def others_of(played: Played) -> list[str]:
    """The scores that stand beside the first."""
    return [name for name in OTHERS if any(name in line.scores for line in played.lines)]


def heads(score: str, others: Sequence[str]) -> list[str]:
    """What stands above the cells of a line."""
    return [*score_heads(score, others), "µs a prediction", "size"]


def score_heads(score: str, others: Sequence[str]) -> list[str]:
    """What stands above the scores of a line."""
    return [name.replace("_", " ") for name in (score, "95 % interval", *others, "scored")]


def cells(line: Line, score: str, others: Sequence[str]) -> list[str]:
    """What stands beside a model's name."""
    return [
        *score_cells(line, score, others),
        "–" if line.predict_us is None else f"{line.predict_us:,.1f}",
        "–" if line.size is None else f"{line.size / 1024:,.0f} KiB",
    ]


def score_cells(line: Line, score: str, others: Sequence[str]) -> list[str]:
    """The scores of a line."""
    return [
        number(line.scores.get(score)),
        "–" if line.low is None or line.high is None else f"{number(line.low)} to {number(line.high)}",
        *(number(line.scores.get(other)) for other in others),
        f"{line.scores['n']:,.0f}",
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
    return f"{played.us:,.0f} µs of processor time an event; {', '.join(parts)}"


def calibrated(played: Played) -> list[str]:
    """How true the probabilities were, in a line; nothing where there are none."""
    error = calibration_error(played.calibration)
    if error is None:
        return []
    return [f"probabilities are off by {error * 100:.1f} points on average (calibration error, {BINS} bins)"]


def sliced(played: Played) -> list[str]:
    """The score of every slice."""
    return [
        f"{one.column} {one.value}: {played.score} {number(one.scores.get(played.score))}, "
        f"{one.scores['n']:,} scored"
        for one in played.slices
    ]


def events(marks: Sequence[Mark]) -> list[str]:
    """Alarms and swaps in words."""
    several = len({mark.shard for mark in marks}) > 1
    return [
        f"{f'shard {mark.shard}, ' if several else ''}event {mark.events:,}: {mark.message}" for mark in marks
    ]


def number(value: float | None) -> str:
    """A score with four significant digits, or a dash."""
    return "–" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
