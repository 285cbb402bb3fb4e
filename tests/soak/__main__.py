"""python -m tests.soak --minutes N [--seed S] [--kind numeric|strings]: faults under load, then the judge.

Two supervised learners and a steady stream on servers of their own; the seed chooses the faults.
At the end all inputs are learned, and the judge and `stream-app verify` look at everything. Prints a table
of the faults with the time until every shard had a committed prediction again. Exit 1 on a violation.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from stream_app.embedded import services as embedded
from tests.faults.learners import Learner, Run, until
from tests.faults.proxy import Far, proxied
from tests.faults.traffic import Traffic, stream
from tests.soak.faults import FAULTS, WEIGHTS, Scene, works
from tests.soak.watch import Watch

SHARDS = 6
LEARNERS = 2
RATE = 150.0  # records a second
RECOVERED_WITHIN_S = 60.0
REPLAYED_WITHIN_S = 600.0  # everything since the start of the run is replayed where all snapshots are lost
VERIFIED_WITHIN_S = 3_600.0
PAUSE_S = 2.0  # at most, between the recovery from one fault and the next


def say(text: str) -> None:
    """Tell at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def assault(
    scene: Scene, watch: Watch, traffic: Traffic, until_s: float
) -> tuple[dict[str, list[float]], list[str]]:
    """Do faults until a moment; recoveries by fault in seconds, and what did not recover."""
    took_s: dict[str, list[float]] = defaultdict(list)
    stuck: list[str] = []
    while time.monotonic() < until_s:
        if traffic.fault is not None:
            return took_s, [*stuck, f"the producer ended: {traffic.fault!r}"]
        (name,) = scene.dice.choices(list(FAULTS), WEIGHTS)
        try:
            since_s = FAULTS[name](scene)
        except AssertionError as error:  # a learner that does not come back
            stuck.append(f"{name}: {error}")
            continue
        within_s = REPLAYED_WITHIN_S if name == "snapshots lost" else RECOVERED_WITHIN_S
        found_s = watch.recovered_s(since_s, within_s)
        if found_s is None:
            stuck.append(f"after '{name}' not every shard had a prediction within {within_s:.0f} s")
        else:
            took_s[name].append(found_s)
        left_s = max(0.0, until_s - time.monotonic())
        say(f"{name}: {'stuck' if found_s is None else f'{found_s:.1f} s'}; {left_s / 60:.1f} min left")
        time.sleep(scene.dice.uniform(0.0, PAUSE_S))
    return took_s, stuck


def end(run: Run, learners: list[Learner]) -> list[str]:
    """Stop the learners, learn what is left, and ask the judge and a replay."""
    for learner in learners:
        if (code := learner.stop()) not in (0, 137):
            return [f"a learner ended with {code}: {learner.tail()}"]
    say("learning the rest")
    run.drain()
    say("judging")
    report = run.judge("--redis", run.redis_url)
    found, counts = list(report["violations"]), report["counts"]
    say(f"{counts['events']:,} events, {counts['predictions']:,} predictions, {counts['labels']:,} labels")
    say(f"the judge found {len(found)} violations; verifying")
    try:
        unequal = [proof for proof in run.verify(VERIFIED_WITHIN_S) if not proof["equal"]]
    except subprocess.TimeoutExpired:
        return [*found, f"`verify` was not done within {VERIFIED_WITHIN_S:.0f} s"]
    return found + [f"a replay differs: {proof}" for proof in unequal]


def table(took_s: dict[str, list[float]]) -> str:
    """Times by fault, for a person."""
    lines = [f"{'fault':<32}{'n':>5}{'p50 s':>8}{'p99 s':>8}{'max s':>8}"]
    for name in FAULTS:
        times = sorted(took_s.get(name, []))
        if not times:
            lines.append(f"{name:<32}{0:>5}")
            continue
        p99 = times[min(len(times) - 1, round(0.99 * (len(times) - 1)))]
        lines.append(f"{name:<32}{len(times):>5}{statistics.median(times):>8.1f}{p99:>8.1f}{times[-1]:>8.1f}")
    return "\n".join(lines)


def soak(directory: Path, minutes: float, seed: int, kind: str) -> list[str]:
    """One run; the violations."""
    with proxied(directory / "servers") as broker:
        return soak_on(broker, directory, minutes, seed, kind)


def soak_on(broker: Far, directory: Path, minutes: float, seed: int, kind: str) -> list[str]:
    """One run on this broker; the learners reach it through its proxy."""
    dice = random.Random(seed)
    servers = embedded.up(directory / "servers")
    offset = directory / "clock-offset"
    stepped = {"PYTHONPATH": str(Path(__file__).with_name("stepped")), "CLOCK_OFFSET": str(offset)}
    run = Run(servers, directory, kind, SHARDS, **stepped)
    run.environment["STREAM_APP_KAFKA__BOOTSTRAP_SERVERS"] = broker.far
    try:
        n = int(minutes * 60 * RATE / 2) + 1_000  # an event and its label are two records
        start_ms = time.time_ns() // 1_000_000 - 2 * n
        traffic = Traffic(run.servers, run.name, stream(kind, n, dice.randrange(1 << 31), start_ms), RATE)
        learners = [run.learner() for _ in range(LEARNERS)]
        for learner in learners:
            until(lambda learner=learner: works(learner), 60.0, run.tails)  # type: ignore[misc]
        watch = Watch(run.servers, f"{run.name}.predictions", SHARDS)
        watch.start()
        traffic.start()
        scene = Scene(run, servers.directory, learners, dice, broker.proxy, offset)
        took_s, found = assault(scene, watch, traffic, time.monotonic() + minutes * 60)
        if traffic.fault is None:
            traffic.join()
        watch.ending.set()
        watch.join(10.0)
        found += end(run, scene.learners)
        say(table(took_s))
        return found
    finally:
        run.end()


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 31))
    parser.add_argument("--kind", choices=("numeric", "strings"), default="numeric")
    given = parser.parse_args()
    say(f"./scripts/soak --minutes {given.minutes:g} --seed {given.seed} --kind {given.kind}")
    directory = Path(tempfile.mkdtemp(prefix="stream-app-soak-"))
    found = soak(directory, given.minutes, given.seed, given.kind)
    for violation in found:
        say(f"violation: {violation}")
    say(f"{len(found)} violations")
    if found:
        say(f"logs and snapshots are kept in {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    raise SystemExit(int(bool(found)))


if __name__ == "__main__":
    main()
