"""Events per second and CPU per event of the whole service beside bare River, in one run.

    benchmarks/throughput [--json] [--rounds N] [--scale X] [--models logistic,hoeffding,arf] [--no-features]
                          [--interpreted]

Each round runs bare River and the service on the same rows, each from a fresh model and in a process of its
own. They take turns: once a second the service is stopped, and bare River goes on to where it got, so that a
machine that is slow for a while is slow for both. The first tenth is left out; medians over the rounds are
told. The service is `stream-app learn` over a backlog, with journal, transactions, metrics (scraped) and the
Redis view of 1,000 entities with three features each; its flow is compiled (`scripts/compile`) unless
--interpreted.

Exit 1 if a ratio of events per second is below its bound, if the default monitors cost more than 15 % of it,
or if restoring and replaying is slower than live.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from statistics import median
from typing import Any, NamedTuple, Self

import orjson

from benchmarks.common import ROOT, Answering, Servers, servers
from benchmarks.service import Cost, Turn, measure

LATE = 1_000  # events between an event and its label, where labels come as records of their own
SKIPPED = 0.1
WATCHED = 0.85  # of the events per second without monitors, at least


class Case(NamedTuple):
    """A model, how many events take it some seconds, and the least share of bare River's speed."""

    model: str
    events: int
    bound: float


class Way(NamedTuple):
    """How labels come (inside the events where `late` is None), and whether the default monitors watch."""

    late: int | None
    watched: bool
    text: str


class Round(NamedTuple):
    """One way of labelling measured once, in turns with bare River."""

    river: Cost
    service: Cost

    @property
    def share(self) -> float:
        """Of bare River's events per second."""
        return self.service.rate / self.river.rate

    @property
    def cpu_share(self) -> float:
        """Bare River's CPU per event, of the service's."""
        return self.river.cpu_us / self.service.cpu_us


class BareRiver(Answering):
    """Bare River, which goes on as far as it is told."""

    def __init__(self, environment: dict[str, str], case: Case, n: int) -> None:
        super().__init__(environment, "bare", case.model, str(n), str(round(n * SKIPPED)))
        self.cost = Cost(0, 0.0, 0.0)
        self.go_on(0)  # answered when its rows are made

    def go_on(self, event: int) -> None:
        """Go on to the event of this number."""
        so_far, took = self.cost, self.ask(b"%d" % event)
        self.cost = Cost(
            so_far.events + took["events"], so_far.wall_s + took["wall_s"], so_far.cpu_s + took["cpu_s"]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.communicate()


CASES = (Case("logistic", 200_000, 0.35), Case("hoeffding", 100_000, 0.5), Case("arf", 30_000, 0.85))
# For the compiler of the broker, which in production has long done its work.
WARM_UP = Case("logistic", 250_000, 0.0)
STARTS = ("earliest", "snapshot")
WAYS = {
    "inline": Way(None, True, "inline labels"),
    "unwatched": Way(None, False, "the same without monitors"),
    "delayed": Way(LATE, True, f"labels {LATE:,} events late"),
}


def child(environment: dict[str, str], module: str, *arguments: str) -> dict[str, Any]:
    """Run one of our modules in a process of its own and read what it tells."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    told: dict[str, Any] = orjson.loads(done.stdout)
    return told


def compiled() -> dict[str, str]:
    """Compile the flow; gives the environment in which it is imported instead of the sources."""
    done = subprocess.run([ROOT / "scripts" / "compile"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit("the flow could not be compiled, see above; or measure with --interpreted")
    return {"PYTHONPATH": f"{done.stdout.strip()}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"}


def service(
    at: Servers, environment: dict[str, str], case: Case, n: int, late: int | None, turn: Turn | None = None
) -> Cost:
    """The service's cost, under the application name that the environment's run makes."""
    app = f"bench-{case.model}-{environment['STREAM_APP_BENCH_RUN']}"
    target = f"benchmarks.definitions:{case.model}"
    return measure(at, app, target, n, round(n * SKIPPED), late, environment, turn)


def compare(at: Servers, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one model."""
    n = max(1_000, round(case.events * options.scale))
    rounds: dict[str, list[Round]] = {way: [] for way in WAYS}
    replays: dict[str, list[dict[str, Any]]] = {start: [] for start in STARTS}
    for number in range(options.rounds):
        for name, way in WAYS.items():
            text = f"{case.model}: round {number + 1} of {options.rounds}, {way.text}"
            print(text, end="", file=sys.stderr, flush=True)
            environment = {
                **at.environment,
                "STREAM_APP_BENCH_RUN": f"{number}-{name}",
                "STREAM_APP_BENCH_FEATURES": str(int(options.features)),
                "STREAM_APP_BENCH_MONITORS": str(int(way.watched)),
            }
            with BareRiver(environment, case, n) as river:
                cost = service(at, environment, case, n, way.late, river.go_on)
                river.go_on(n)
            rounds[name].append(Round(river.cost, cost))
            print(f": {rounds[name][-1].share:.2f}", file=sys.stderr)
            if name == "inline":
                for start in STARTS:
                    replays[start].append(child(environment, "replayed", case.model, start))
    return summary(case, n, rounds, replays)


def summary(
    case: Case, n: int, rounds: dict[str, list[Round]], replays: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Medians over the rounds, and whether they meet their bounds."""
    river = [one.river for way in rounds.values() for one in way]
    told: dict[str, Any] = {
        "model": case.model,
        "events": n,
        "bound": case.bound,
        "bare": {
            "events_per_s": median(cost.rate for cost in river),
            "cpu_us": median(cost.cpu_us for cost in river),
        },
    }
    for way, measured in rounds.items():
        told[way] = {
            "events_per_s": median(one.service.rate for one in measured),
            "cpu_us": median(one.service.cpu_us for one in measured),
            "ratio": median(one.share for one in measured),
            "cpu_ratio": median(one.cpu_share for one in measured),
        }
    live = told["inline"]
    for start, found in replays.items():
        per_s = median(one["events"] / one["wall_s"] for one in found)
        told[start] = {
            "events_per_s": per_s,
            "replayed": median(one["replayed"] for one in found),
            "restore_s": median(one["restore_s"] for one in found),
            "seconds": median(one["wall_s"] for one in found),
            "of_live": per_s / live["events_per_s"],
        }
    told["watched"] = live["ratio"] / told["unwatched"]["ratio"]
    slowest = min(told[start]["of_live"] for start in STARTS)
    told["holds"] = live["ratio"] >= case.bound and told["watched"] >= WATCHED and slowest >= 1
    return told


def show(told: dict[str, Any]) -> None:
    """A table for a person."""
    title = f"{told['model']}, {told['events']:,} events"
    river = told["bare"]
    print(f"\n{title:32} {'events/s':>10} {'CPU µs/event':>14}   of bare River (of its CPU)")
    print(f"  {'bare River':30} {river['events_per_s']:>10,.0f} {river['cpu_us']:>14.1f}")
    bounds = {
        "inline": f", at least {told['bound']} asked",
        "unwatched": f"; monitors leave {told['watched']:.2f} of it, at least {WATCHED} asked",
    }
    for name, way in WAYS.items():
        here = told[name]
        cost = f"{here['events_per_s']:>10,.0f} {here['cpu_us']:>14.1f}"
        print(f"  {way.text:30} {cost}   {here['ratio']:.2f} ({here['cpu_ratio']:.2f}){bounds.get(name, '')}")
    for start in STARTS:
        here = told[start]
        done = f"restored in {here['restore_s']:.2f} s, {here['replayed']:,.0f} replayed"
        speed = f"{here['of_live']:.2f} of live ({done})"
        print(f"  {'recovery from ' + start:30} {here['events_per_s']:>10,.0f} {'':>14}   {speed}")
    sys.stdout.flush()


def main() -> int:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per model on stdout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of events")
    parser.add_argument("--models", default=",".join(case.model for case in CASES))
    parser.add_argument("--features", action=argparse.BooleanOptionalAction, default=True, help="per entity")
    parser.add_argument("--interpreted", action="store_true", help="without the compiled flow")
    options = parser.parse_args()
    good = True
    flow = {} if options.interpreted else compiled()
    with servers() as found:
        at = found._replace(environment={**found.environment, **flow})
        service(at, {**at.environment, "STREAM_APP_BENCH_RUN": "warm-up"}, WARM_UP, WARM_UP.events, LATE)
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
