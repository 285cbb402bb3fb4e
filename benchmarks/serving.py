"""Predictions over HTTP beside an equal server that answers with a constant, in one run.

    benchmarks/serving [--json] [--seconds S] [--rounds N]

A learner takes 20,000 events of 1,000 entities with three features each, and ends. `stream-app serve` then
answers from what it has published: one worker on the first core, while the load, one process, shares the last
one with Kafka and Valkey. Beside it runs the same command with another handler behind the same route: same
server, same middleware, same request model and guard, but the answer is a constant. Both take turns, and
medians are told. The ratio of the two shows what the handler costs, and holds on other machines more or less;
requests per second do not.

From the cache: entities and model are copies in the server's memory. From Redis: it has room for one entity,
and keys come in turn, so that each answer waits for Redis. Latencies at a share of the maximum, and those of
features, are of an open loop: requests are due at random times whether or not those before are answered, and
what each takes counts from when it was due. Nothing is learned meanwhile: no copy becomes outdated, and no
model is loaded beside the requests.

Exit 1 if an answer is no 200 or not what was asked for, if single predictions reach less than 0.6 of the
constant's rate, or if batches of 100 rows predict less than 10 times the rows of single requests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import orjson
import psutil

from benchmarks.common import ENTITIES, ROOT, Answering, Servers, last_core, servers
from benchmarks.service import batches, judge, learn, write_backlog
from benchmarks.serving_load import HOST, PRIORITY, ROWS, Plan
from stream_app.embedded.ports import free_ports

EVENTS = 20_000
RUN = {"STREAM_APP_BENCH_RUN": "serving", "STREAM_APP_BENCH_FEATURES": "1"}
APP, TARGET = "bench-logistic-serving", "benchmarks.definitions:logistic"
RATIO, FACTOR = 0.6, 10  # of the constant's rate, of the rows of single requests; at least
CLOSED, OPEN, BATCHED = 16, 64, 4  # connections
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
OPEN_TIMES = 3  # as long as the other measurements, for the percentiles' sake
MODERATE = 0.3  # of the rate without the cache, for reads of features
FEAST = """\
Feast publishes a p99 of 4.61 ms for one row from its HTTP feature server (its blog of 2 June 2026; it was not
measured here): several feature views read from Redis, 9 workers in a pod of 4 cores, requests one after the
other over a cluster's network; 1.70 ms where features were put together beforehand. Here it is one worker
over loopback, which works out three window features of one entity for the moment of the request."""
TRIES = 4
STARTS_S, ENDS_S = 60.0, 10.0


class Server(NamedTuple):
    """A server of this run."""

    process: psutil.Process
    port: int

    def used_s(self) -> tuple[float, float, float]:
        """Now; CPU used so far; and time in which it could have run, had nothing else held its core."""
        used, kept_s = self.process.cpu_times(), 0.0
        with suppress(OSError):
            kept_s = int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9
        return time.monotonic(), used.user + used.system, kept_s

    def reads(self) -> tuple[int, int]:
        """Entities found in its memory, and asked of Redis, so far."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/metrics", timeout=5) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines() if line[:1] != "#"]
        names = ("stream_app_entity_hits_total", "stream_app_entity_misses_total")
        hits, misses = (sum(int(float(n)) for at, n in lines if at.startswith(name)) for name in names)
        return hits, misses


@contextmanager
def serving(at: Servers, module: str, *arguments: str, **settings: str) -> Iterator[Server]:
    """A server on the first core that answers; it ends with the block."""
    (port,) = free_ports(0)
    constant = module != "stream_app"
    command = [sys.executable, "-m", module, *arguments, TARGET, *([] if constant else ["--port"]), str(port)]
    log = at.directory / f"serving-{port}.log"
    with (
        log.open("wb") as told,
        subprocess.Popen(command, cwd=ROOT, env=at.environment | settings, stdout=told, stderr=told) as child,
    ):
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(child.pid, {min(os.sched_getaffinity(0))})
            with suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, child.pid, PRIORITY)
            ready = f"http://{HOST}:{port}/{'docs' if constant else 'readyz'}"
            give_up_s = time.monotonic() + STARTS_S
            while not answers(ready):
                if child.poll() is not None or time.monotonic() > give_up_s:
                    raise SystemExit(f"{' '.join(command[2:])} does not answer:\n{log.read_text()[-3000:]}")
                time.sleep(0.1)
            yield Server(psutil.Process(child.pid), port)
        finally:
            end(child)


def answers(url: str) -> bool:
    """Whether it says 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  ours, see above
            return bool(answer.status == 200)
    except OSError:
        return False


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and see that it does."""
    child.terminate()
    try:
        child.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        child.kill()


class Load(Answering):
    """The process that sends, on the last core; one answer for each plan."""

    def __init__(self, at: Servers) -> None:
        with last_core():
            super().__init__(at.environment, "serving_load")

    def follow(self, plan: Plan) -> dict[str, Any]:
        """What the plan has led to."""
        return self.ask(orjson.dumps(plan._asdict()))

    def run(self, what: str, server: Server, plan: Plan, *, cached: bool | None) -> dict[str, Any]:
        """A row of the table; ends the run if an answer is not what it should be.

        `astray` is the share of entities that were not where the row says: a server that is held up for
        longer than its timeout takes Redis for gone, for a moment. A maximum that this has touched is
        measured again.
        """
        for _ in range(TRIES):
            reads = (0, 0) if cached is None else server.reads()
            before = server.used_s()
            told = self.follow(plan)
            wall_s, cpu_s, kept_s = (now - then for now, then in zip(server.used_s(), before, strict=True))
            told["server_busy"], told["server_kept"] = cpu_s / wall_s, kept_s / wall_s
            told["server_cpu_us"] = cpu_s / told["answers"] * 1e6
            if told["refused"] or told["fault"] or not told["checked"]:
                problem = told["refusal"] or told["fault"] or "no answer was looked at"
                raise SystemExit(f"{what}: {told['refused']} of {told['answers']} refused: {problem}")
            told["astray"] = 0.0
            if cached is not None:
                hits, misses = (now - then for now, then in zip(server.reads(), reads, strict=True))
                told["astray"] = (misses if cached else hits) / (hits + misses)
            if plan.rate is not None or told["astray"] < 0.01:
                return {"what": what, "cached": cached, "asked_per_s": plan.rate, **told}
            print(f"{what}: {told['astray']:.1%} of the entities came from elsewhere, again", file=sys.stderr)
        raise SystemExit(f"{what}: the server took Redis for gone {TRIES} times; is the machine busy?")


def middle(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One row for several of one kind: the median of each number."""
    numbers = {name for name, value in rows[0].items() if type(value) in (int, float)}
    return {name: median(row[name] for row in rows) if name in numbers else rows[0][name] for name in rows[0]}


def measured(at: Servers, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows of the table, and at last what they say together."""
    seconds = options.seconds
    with ExitStack() as stack:
        load = Load(at)
        stack.callback(end, load.child)
        small = {"STREAM_APP_SERVE__CACHE_ENTITIES": "1"}
        ours = stack.enter_context(serving(at, "stream_app", "serve"))
        without = stack.enter_context(serving(at, "stream_app", "serve", **small))
        other = stack.enter_context(serving(at, "benchmarks.serving_load", "constant"))
        load.follow(Plan(other.port, "constant", 1.0, CLOSED))
        load.follow(Plan(ours.port, "predict", 1.0, CLOSED))  # from here on the copies are there
        load.follow(Plan(without.port, "predict", 0.5, CLOSED))
        turns = {
            "constant": (other, Plan(other.port, "constant", seconds, CLOSED), None),
            "single": (ours, Plan(ours.port, "predict", seconds, CLOSED), True),
            "batch": (ours, Plan(ours.port, "batch", seconds, BATCHED), True),
            "uncached": (without, Plan(without.port, "predict", seconds, CLOSED), False),
        }
        rounds = [
            {name: load.run(name, server, plan, cached=way) for name, (server, plan, way) in turns.items()}
            for _ in range(options.rounds)
        ]
        top, single, batch, uncached = (middle([one[name] for one in rounds]) for name in turns)
        ratio, without_ratio = (
            median(one[name]["rate"] / one["constant"]["rate"] for one in rounds)
            for name in ("single", "uncached")
        )
        cpu_ratio = top["server_cpu_us"] / single["server_cpu_us"]
        factor = median(one["batch"]["rate"] * ROWS / one["single"]["rate"] for one in rounds)
        yield from (
            top,
            {**single, "ratio": ratio, "cpu_ratio": cpu_ratio},
            {**uncached, "ratio": without_ratio},
        )
        yield {**batch, "rows_per_s": batch["rate"] * ROWS, "factor": factor}
        for share in SHARES:
            plan = Plan(ours.port, "predict", OPEN_TIMES * seconds, OPEN, share * single["rate"])
            yield {**load.run("open", ours, plan, cached=True), "share": share}
        for cached, server in ((True, ours), (False, without)):
            plan = Plan(server.port, "features", OPEN_TIMES * seconds, OPEN, MODERATE * uncached["rate"])
            yield load.run("features", server, plan, cached=cached)
        holds = ratio >= RATIO and factor >= FACTOR
        yield {
            "what": "bounds",
            "ratio": ratio,
            "ratio_asked": RATIO,
            "factor": factor,
            "factor_asked": FACTOR,
            "holds": holds,
        }


def show(row: dict[str, Any]) -> None:
    """A line for a person."""
    what = row["what"]
    if what == "bounds":
        print(
            f"\nsingle predictions reach {row['ratio']:.2f} of the constant's rate, at least {RATIO} asked;"
            f"\nbatches predict {row['factor']:.1f} times the rows of single ones, at least {FACTOR} asked"
        )
        print("server, load: share of a core in use; kept: of the time, the server kept from it by others")
        print("\n" + FEAST)
        return
    where = {None: "", True: " from the cache", False: " from Redis"}[row["cached"]]
    text = {
        "constant": "a constant, same route",
        "single": "prediction" + where,
        "uncached": "prediction" + where,
        "batch": f"batch of {ROWS}" + where,
        "open": f"prediction at {row.get('share', 0):.0%} of its maximum",
        "features": "features" + where,
    }[what]
    most = 1e6 / row["load_cpu_us"]
    note = {
        "constant": f"the load could send {most:,.0f} per s",
        "single": f"{row.get('ratio', 0):.2f} of the constant's, CPU {row.get('cpu_ratio', 0):.2f}",
        "uncached": f"{row.get('ratio', 0):.2f} of the constant's",
        "batch": f"{row.get('rows_per_s', 0):,.0f} rows/s, {row.get('factor', 0):.1f} × single",
    }.get(what, f"{row['astray']:.1%} not from there" if row["astray"] else "")
    times = "".join(f"{row[f'p{name}_us'] / 1000:>9.2f}" for name in ("50", "99", "99.9", "100"))
    busy = f"{row['server_busy']:>8.2f}{row['server_kept']:>6.2f}{row['load_busy']:>6.2f}"
    print(f"  {text:34}{row['rate']:>8,.0f}{times}{busy}  {note}", flush=True)


def main() -> int:
    """Learn, serve, load."""
    parser = argparse.ArgumentParser(prog="benchmarks/serving", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per row on stdout")
    parser.add_argument(
        "--seconds", type=float, default=2.5, help="of one measurement; open loops take 3 times"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of constant and predictor in turn")
    options = parser.parse_args()
    holds = False
    with servers() as found:
        at = found._replace(environment={**found.environment, **RUN})
        write_backlog(at, APP, EVENTS, None)
        learn(at, TARGET, RUN)
        judge(at, APP, EVENTS, sum(batch.events for batch in batches(at, APP)))
        if not options.json:
            names = ("p50 ms", "p99", "p99.9", "max", "server", "kept", "load")
            print(f"{ENTITIES:,} entities, {CLOSED} connections; open loops {OPEN}, batches {BATCHED}")
            print(
                f"  {'':34}{'per s':>8}"
                + "".join(f"{n:>{w}}" for n, w in zip(names, (9, 9, 9, 9, 8, 6, 6), strict=True))
            )
        for row in measured(at, options):
            holds = row.get("holds", False)
            if options.json:
                sys.stdout.buffer.write(orjson.dumps(row) + b"\n")
                sys.stdout.flush()
            else:
                show(row)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
