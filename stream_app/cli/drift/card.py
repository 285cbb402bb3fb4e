"""The report card's arithmetic: alarms of a detector against drifts whose place is known.

A drift's window begins with its first event and ends `WINDOW` events after its transition, or where the next
drift begins. The first alarm within is the detection, further ones belong to the same drift; every alarm
outside is false. As in the learner, an alarm that the loss has fallen is none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from drift.detectors import Detect
from drift.verdicts import State

WINDOW = 2_000  # events
PER = 10_000  # events, of the rate of false alarms
WIDTH = 150  # columns of a table in a file or a pipe
ALWAYS, NEVER = "always alarm", "never alarm"


class Drift(NamedTuple):
    """A change of concept from event `start` on, complete at `end`."""

    start: int
    end: int


class Judged(NamedTuple):
    """Alarms against drifts: events until each detection, and what was outside of all windows."""

    delays: list[int]
    misses: int
    false: int
    calm: int

    @property
    def delay(self) -> float | None:
        """Mean delay of the drifts that were detected."""
        return sum(self.delays) / len(self.delays) if self.delays else None

    @property
    def rate(self) -> float | None:
        """False alarms per 10,000 events outside of the windows."""
        return PER * self.false / self.calm if self.calm else None

    def __add__(self, other: object) -> Judged:
        """Both together; the mean of a pool is over drifts and events, not over streams."""
        if not isinstance(other, Judged):
            return NotImplemented
        return Judged(
            self.delays + other.delays,
            self.misses + other.misses,
            self.false + other.false,
            self.calm + other.calm,
        )


NOTHING = Judged([], 0, 0, 0)


def judge(alarms: Iterable[int], drifts: Sequence[Drift], events: int, window: int = WINDOW) -> Judged:
    """Judge ascending places of alarms against ascending drifts.

    >>> judge([50, 130, 140, 900], [Drift(100, 100), Drift(500, 500)], 1_000, 200)
    Judged(delays=[30], misses=1, false=2, calm=600)
    """
    nexts = [*(drift.start for drift in drifts), events][1:]
    spans = [
        (drift.start, min(drift.end + window, until)) for drift, until in zip(drifts, nexts, strict=True)
    ]
    found: list[int | None] = [None] * len(spans)
    false, current = 0, 0
    for at in alarms:
        while current < len(spans) and at >= spans[current][1]:
            current += 1
        if current == len(spans) or at < spans[current][0]:
            false += 1
        elif found[current] is None:
            found[current] = at - spans[current][0]
    delays = [delay for delay in found if delay is not None]
    calm = events - sum(until - start for start, until in spans)
    return Judged(delays, len(spans) - len(delays), false, calm)


def alarms(detect: Detect, losses: Sequence[float | None]) -> tuple[list[int], float]:
    """Where a detector says that the loss has risen, and its µs per event; a loss of None: no prediction."""
    detector, found = detect.build(), list[int]()
    started_s = time.perf_counter()
    for at, loss in enumerate(losses):
        if loss is None:
            continue
        verdict = detector.update(loss)
        if verdict.state is State.DRIFT and verdict.after > verdict.before:
            found.append(at)
    return found, 1e6 * (time.perf_counter() - started_s) / max(1, len(losses))


class Cell(NamedTuple):
    """One detector on one stream, all seeds together; `us` is the mean of `runs`, None for baselines."""

    judged: Judged
    us: float | None
    runs: int

    def __add__(self, other: object) -> Cell:
        """Pool two; both have a cost, or neither."""
        if not isinstance(other, Cell):
            return NotImplemented
        runs = self.runs + other.runs
        us = (
            None
            if self.us is None or other.us is None
            else ((self.us * self.runs + other.us * other.runs) / runs)
        )
        return Cell(self.judged + other.judged, us, runs)


def card(
    detects: Mapping[str, Detect], losses: Sequence[float | None], drifts: Sequence[Drift]
) -> dict[str, Cell]:
    """Every detector, and the two baselines, on the losses of one run."""
    n = len(losses)
    found = {
        ALWAYS: Cell(judge(range(n), drifts, n), None, 1),
        NEVER: Cell(judge((), drifts, n), None, 1),
    }
    for name, detect in detects.items():
        places, us = alarms(detect, losses)
        found[name] = Cell(judge(places, drifts, n), us, 1)
    return found


def pool(cells: Iterable[Cell]) -> Cell:
    """All of them as one.

    Raises:
        ValueError: there is none.
    """
    first, *rest = cells
    for cell in rest:
        first += cell
    return first


def line(stream: str, kind: str, detector: str, cell: Cell) -> dict[str, Any]:
    """One row as JSON."""
    judged = cell.judged
    return {
        "stream": stream,
        "kind": kind,
        "detector": detector,
        "runs": cell.runs,
        "drifts": len(judged.delays) + judged.misses,
        "delay": judged.delay,
        "misses": judged.misses,
        "false_alarms": judged.false,
        "calm_events": judged.calm,
        "false_per_10k": judged.rate,
        "us_per_event": cell.us,
    }


def table(cells: Mapping[tuple[str, str], Mapping[str, Cell]], kinds: Sequence[str]) -> Any:
    """The card for a person; `cells` by (stream, kind), then by detector. Delays stand beside misses."""
    from rich import box
    from rich.table import Table

    drifting = [kind for kind in kinds if any(of == kind and drifts(by) for (_, of), by in cells.items())]
    resting = [kind for kind in kinds if kind not in drifting]
    found = Table(
        title="detectors on known drifts: mean delay in events (missed/drifts); false alarms per 10,000",
        box=box.SIMPLE_HEAD,
    )
    found.add_column("detector", no_wrap=True)
    for title in (*drifting, "all drifts", "false", "stationary", "µs"):
        found.add_column(title, justify="right", no_wrap=True)
    for detector in next(iter(cells.values())):

        def of(*chosen: str, detector: str = detector) -> Judged:
            return sum((by[detector].judged for (_, kind), by in cells.items() if kind in chosen), NOTHING)

        delays = (delay(of(kind)) for kind in drifting)
        whole, us = of(*kinds), pool(by[detector] for by in cells.values()).us
        rates = number(whole.rate), number(of(*resting).rate)
        found.add_row(detector, *delays, delay(whole), *rates, number(us))
    return found


def console() -> Any:
    """Stdout as it is, or as wide as a table needs where no terminal bounds it."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH)


def drifts(by: Mapping[str, Cell]) -> int:
    """How many drifts a stream's runs have together: to never alarm misses each."""
    return by[NEVER].judged.misses


def delay(judged: Judged) -> str:
    """`132 (1/20)`."""
    drifts = len(judged.delays) + judged.misses
    return f"{'–' if judged.delay is None else f'{judged.delay:,.0f}'} ({judged.misses}/{drifts})"


def number(value: float | None) -> str:
    """One decimal, or a dash."""
    return "–" if value is None else f"{value:,.1f}"
