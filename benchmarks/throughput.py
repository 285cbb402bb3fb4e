"""Events per second and CPU per event of the whole service beside bare River, in one run.

    benchmarks/throughput [--json] [--rounds N] [--scale X] [--models logistic,hoeffding,arf] [--no-features]

Each round runs bare River, the service, and bare River again, on the same rows from a fresh model, and leaves the
first tenth out of both; medians over the rounds are told, since machines are noisy. The service is `stream-app learn`
over a backlog, with journal, transactions, metrics (scraped) and the Redis view of 1,000 entities with three features
each. Exit 1 if a ratio of events per second is below its bound.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from statistics import median
from typing import Any, NamedTuple

import orjson

from benchmarks.common import ROOT, Servers, servers
from benchmarks.service import Cost, measure

LATE = 1_000  # events between an event and its label, where labels come as records of their own
SKIPPED = 0.1


class Case(NamedTuple):
    """A model, how many events take it some seconds, and the least share of bare River's events per second."""

    model: str
    events: int
    bound: float


CASES = (Case("logistic", 200_000, 0.35), Case("hoeffding", 100_000, 0.5), Case("arf", 10_000, 0.85))


def child(environment: dict[str, str], module: str, *arguments: str) -> dict[str, Any]:
    """Run one of our modules in a process of its own and read what it tells."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    told: dict[str, Any] = orjson.loads(done.stdout)
    return told


def bare(environment: dict[str, str], case: Case, n: int) -> Cost:
    """Bare River's cost."""
    told = child(environment, "bare", case.model, str(n), str(round(n * SKIPPED)))
    return Cost(told["events"], told["wall_s"], told["cpu_s"])


def compare(at: Servers, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one model."""
    n = max(1_000, round(case.events * options.scale))
    river, inline, delayed, restored = [], [], [], []
    for number in range(options.rounds):
        for late, costs in ((None, inline), (LATE, delayed)):
            run = {
                "STREAM_APP_BENCH_RUN": f"{number}-{'inline' if late is None else 'late'}",
                "STREAM_APP_BENCH_FEATURES": str(int(options.features)),
            }
            environment = {**at.environment, **run}
            river.append(bare(environment, case, n))
            app = f"bench-{case.model}-{run['STREAM_APP_BENCH_RUN']}"
            target = f"benchmarks.definitions:{case.model}"
            costs.append(measure(at, app, target, n, round(n * SKIPPED), late, run))
            if late is None:
                restored.append([child(environment, "replayed", case.model, start) for start in STARTS])
        river.append(bare(environment, case, n))
    return summary(case, n, river, {"inline": inline, "delayed": delayed}, restored)


STARTS = ("earliest", "snapshot")


def summary(
    case: Case, n: int, river: list[Cost], service: dict[str, list[Cost]], restored: list[list[dict[str, Any]]]
) -> dict[str, Any]:
    """Medians, and the ratios that are judged."""
    rate, cpu_us = median(c.rate for c in river), median(c.cpu_us for c in river)
    told: dict[str, Any] = {
        "model": case.model, "events": n, "bound": case.bound,
        "bare": {"events_per_s": rate, "cpu_us": cpu_us},
    }  # fmt: skip
    for name, costs in service.items():
        here = {"events_per_s": median(c.rate for c in costs), "cpu_us": median(c.cpu_us for c in costs)}
        told[name] = {**here, "ratio": here["events_per_s"] / rate, "cpu_ratio": cpu_us / here["cpu_us"]}
    live = told["inline"]
    for place, start in enumerate(STARTS):
        found = [pair[place] for pair in restored]
        per_s = median(one["events"] / one["wall_s"] for one in found)
        told[start] = {
            "events_per_s": per_s,
            "replayed": median(one["replayed"] for one in found),
            "restore_s": median(one["restore_s"] for one in found),
            "seconds": median(one["wall_s"] for one in found),
            "cpu_us": median(one["cpu_s"] / max(1, one["replayed"]) * 1e6 for one in found),
            "of_live": per_s / live["events_per_s"],
        }
    told["holds"] = live["ratio"] >= case.bound and min(told[start]["of_live"] for start in STARTS) >= 1
    return told


def show(told: dict[str, Any]) -> None:
    """A table for a person."""
    river = told["bare"]
    print(f"\n{told['model']}, {told['events']:,} events                 events/s   CPU µs/event   of bare River (CPU)")
    print(f"  bare River                       {river['events_per_s']:>12,.0f} {river['cpu_us']:>14.1f}")
    for name, text in (("inline", "service, inline labels"), ("delayed", f"service, labels {LATE:,} late")):
        here = told[name]
        bound = f", at least {told['bound']} asked" if name == "inline" else ""
        print(
            f"  {text:32} {here['events_per_s']:>12,.0f} {here['cpu_us']:>14.1f}   "
            f"{here['ratio']:.2f} ({here['cpu_ratio']:.2f}){bound}"
        )
    for start in STARTS:
        here = told[start]
        print(
            f"  {'replay from ' + start:32} {here['events_per_s']:>12,.0f} {here['cpu_us']:>14.1f}   {here['of_live']:.2f} of live "
            f"({here['replayed']:,.0f} replayed, restored in {here['restore_s']:.2f} s)"
        )


def main() -> int:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per model on stdout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of events")
    parser.add_argument("--models", default=",".join(case.model for case in CASES))
    parser.add_argument("--features", action=argparse.BooleanOptionalAction, default=True, help="per entity")
    options = parser.parse_args()
    good = True
    with servers() as at:
        for case in CASES:
            if case.model not in options.models.split(","):
                continue
            told = compare(at, case, options)
            good = good and told["holds"]
            if options.json:
                sys.stdout.buffer.write(orjson.dumps(told) + b"\n")
                sys.stdout.flush()
            else:
                show(told)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
