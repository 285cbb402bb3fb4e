"""A backtest as one page that needs nothing else: tables, learning curves, alarms and swaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from stream_app.cli.backtest.table import (
    calibrated,
    cells,
    events,
    heads,
    number,
    others_of,
    score_cells,
    score_heads,
    summary,
)
from stream_app.learner.history.backtest import Played, Point
from stream_app.learner.history.hearing import refusals
from stream_app.learner.history.lines import LAST_LABEL, SERVED

WIDTH, HEIGHT, LEFT, BOTTOM = 900, 300, 60, 30
COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf")
MOST_LINES = 8  # of one chart
TICKS = 4
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; }
svg { width: 100%; height: auto; font-size: 12px; }
svg text { fill: currentColor; }
ul.keys { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; }
.keys span { display: inline-block; width: 1.2em; height: .3em; vertical-align: middle; margin-right: .4em; }
"""


def write(file: Path, all_played: Sequence[Played], about: str) -> None:
    """Write the page; `about` says what was read."""
    parts = together(all_played) + "".join(section(played) for played in all_played)
    title = f"Backtest of {', '.join(dict.fromkeys(played.app for played in all_played))}"
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1><p>{escape(about)}</p>{parts}</body></html>\n",
        encoding="utf-8",
    )


def together(all_played: Sequence[Played]) -> str:
    """What each definition served, in one table, where there are several."""
    if len(all_played) < 2:
        return ""
    first = all_played[0]
    others = others_of(first)
    rows = [
        (
            played.target,
            [
                *score_cells(played.lines[0], played.score, others),
                f"{played.us:,.0f}",
                f"{played.swaps:,}",
            ],
        )
        for played in all_played
    ]
    names = ["definition", *score_heads(first.score, others), "µs an event", "swaps"]
    return f"<h2>What was served</h2>{table(names, rows)}"


def table(names: Sequence[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """A table from the names of its columns, and for each row its title and its other cells."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{escape(title)}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
        for title, others in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(played: Played) -> str:
    """One definition."""
    what = "mean absolute error, lower is better" if played.score == "mae" else "accuracy, higher is better"
    shards = sorted({point.shard for point in played.curve})
    charts = "".join(chart(played, shard, named=len(shards) > 1) for shard in shards)
    refused = refusals(played.dead_letters, played.first_refused)
    return (
        f"<h2>{escape(played.target)}</h2>"
        f"<p>{played.events:,} events, {played.labels:,} labels. {escape(summary(played))}.</p>"
        f"{scores(played)}<h3>Rolling {what}</h3>{charts}{calibration(played)}{slices(played)}"
        f"{listed('Refused', refused)}{listed('Alarms and swaps', events(played.marks))}"
    )


def scores(played: Played) -> str:
    """The table of the models."""
    others = others_of(played)
    names = ["model", *heads(played.score, others)]
    return table(names, ((line.title, cells(line, played.score, others)) for line in played.lines))


def calibration(played: Played) -> str:
    """How often what was predicted with a probability came true: points on the diagonal are right."""
    if not played.calibration:
        return ""
    side = HEIGHT - BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + side * x, side * (1 - y) + 5

    (x1, y1), (x2, y2) = at(0, 0), at(1, 1)
    shapes = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#8888" stroke-dasharray="4 4"/>'
    for share in (0.0, 0.5, 1.0):
        (x, _), (_, y) = at(share, 0), at(0, share)
        shapes += f'<text x="{x:.1f}" y="{HEIGHT}" text-anchor="middle">{share:g}</text>'
        shapes += f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>'
    most = max(one.n for one in played.calibration)
    for one in played.calibration:
        x, y = at(one.mean, one.share)
        said = f"{one.n:,} predictions of {one.mean:.2f}: {one.share:.2f} came true"
        shapes += (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + 9 * (one.n / most) ** 0.5:.1f}" fill="{COLORS[0]}">'
            f"<title>{escape(said)}</title></circle>"
        )
    rows = (
        (f"{one.low:.1f} to {one.high:.1f}", [f"{one.n:,}", f"{one.mean:.3f}", f"{one.share:.3f}"])
        for one in played.calibration
    )
    return (
        f"<h3>Calibration</h3><p>{escape(' '.join(calibrated(played)))}. "
        "Across: the probability that was said; upwards: how often it came true.</p>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 5}" role="img" aria-label="Calibration">{shapes}</svg>'
        f"{table(('probability', 'predictions', 'said', 'came true'), rows)}"
    )


def slices(played: Played) -> str:
    """The scores by the values of columns."""
    if not played.slices:
        return ""
    rows = (
        (f"{one.column} {one.value}", [number(one.scores.get(played.score)), f"{one.scores['n']:,}"])
        for one in played.slices
    )
    return f"<h3>Slices</h3>{table(('slice', played.score, 'scored'), rows)}"


def chart(played: Played, shard: int, *, named: bool) -> str:
    """The rolling scores of one shard over its events, with alarms and swaps."""
    points = [point for point in played.curve if point.shard == shard and point.scores]
    if len(points) < 2:
        return "<p>There are too few labels for a curve.</p>"
    names = list(dict.fromkeys(name for point in points for name in point.scores))
    best = [line.title for line in played.lines]  # the best models come first
    names.sort(key=lambda name: (name != LAST_LABEL, best.index(name) if name in best else len(best)))
    names = names[:MOST_LINES]
    values = [point.scores[name] for point in points for name in names if name in point.scores]
    levels = round_ticks(min(values), max(values))
    low, high = levels[0], levels[-1]
    last = points[-1].events

    def x(events: float) -> float:
        return LEFT + (WIDTH - LEFT) * events / last

    def y(value: float) -> float:
        return (HEIGHT - BOTTOM) * (1 - (value - low) / (high - low)) + 5

    shapes = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(at):.1f}" y2="{y(at):.1f}" stroke="#8884"/>'
        f'<text x="{LEFT - 6}" y="{y(at) + 4:.1f}" text-anchor="end">{number(at)}</text>'
        for at in levels
    )
    shapes += "".join(
        f'<text x="{x(at):.1f}" y="{HEIGHT - 12}" text-anchor="middle">{at:,.0f}</text>'
        for at in round_ticks(0, last)
        if at < 0.92 * last  # the name of the axis stands at its end
    )
    shapes += f'<text x="{WIDTH}" y="{HEIGHT - 12}" text-anchor="end">events</text>'
    for mark in played.marks:
        if mark.shard == shard:
            dash = ' stroke-dasharray="4 4"' if mark.type == "drift" else ""
            at = f"{x(mark.events):.1f}"
            shapes += (
                f'<line x1="{at}" x2="{at}" y1="5" y2="{HEIGHT - BOTTOM}" stroke="currentColor"{dash}>'
                f"<title>{escape(mark.message)}</title></line>"
            )
    keys = ""
    for place, name in enumerate(names):
        color = COLORS[place % len(COLORS)]
        shapes += line_of(points, name, x, y, color, wide=name == SERVED)
        keys += f'<li><span style="background:{color}"></span>{escape(name)}</li>'
    if any(mark.shard == shard for mark in played.marks):
        keys += "<li>┊ an alarm</li><li>│ a swap</li>"
    label = f"Rolling {played.score} of shard {shard}" if named else f"Rolling {played.score}"
    title = f"<h4>Shard {shard}</h4>" if named else ""
    return (
        f'{title}<svg viewBox="0 0 {WIDTH} {HEIGHT + 5}" role="img" aria-label="{label}">{shapes}</svg>'
        f'<ul class="keys">{keys}</ul>'
    )


def round_ticks(low: float, high: float) -> list[float]:
    """Four to eleven round numbers at equal distances, from no more than `low` to no less than `high`.

    >>> round_ticks(0.713, 0.861)
    [0.7, 0.72, 0.74, 0.76, 0.78, 0.8, 0.82, 0.84, 0.86, 0.88]
    >>> round_ticks(0, 1250)
    [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0]
    """
    if low == high:
        low, high = low - (abs(low) / 100 or 0.01), high + (abs(high) / 100 or 0.01)
    span = high - low
    step = 10.0 ** floor(log10(span / TICKS))
    step *= next(times for times in (5, 2, 1) if times == 1 or span / (step * times) >= TICKS)
    digits = max(0, -floor(log10(step)))
    return [round(step * n, digits) for n in range(floor(low / step), ceil(high / step) + 1)]


def line_of(
    points: Sequence[Point],
    name: str,
    x: Callable[[float], float],
    y: Callable[[float], float],
    color: str,
    *,
    wide: bool,
) -> str:
    """One model's curve."""
    at = [(x(point.events), y(point.scores[name])) for point in points if name in point.scores]
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in at)
    return f'<polyline fill="none" stroke="{color}" stroke-width="{3 if wide else 1.5}" points="{path}"/>'


def listed(title: str, lines: Sequence[str]) -> str:
    """Sentences as a list under a title; nothing of none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>{title}</h3><ul>{items}</ul>" if items else ""
