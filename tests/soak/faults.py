"""The faults, each one whole: what is done, and undone."""

from __future__ import annotations

import math
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import redis

from stream_app.embedded import services as embedded
from stream_app.embedded.process import Running
from stream_app.embedded.state import read
from tests.faults.learners import Learner, Run, until
from tests.faults.proxy import Proxy

SESSION_S = 6.0  # of a learner in its group: the default
LIVE_WITHIN_S = 60.0
HOUR_S = 3_600.0
FULL_BYTES = 4_096  # files may not grow beyond; what a process holds in memory is smaller


class Scene(NamedTuple):
    """What faults are done to."""

    run: Run
    directory: Path
    learners: list[Learner]
    dice: random.Random
    proxy: Proxy  # all connections of the learners to the broker
    clock_offset: Path  # the seconds by which the wall clock of the learners is off

    def one(self) -> Learner:
        """Any of the learners, with a child that works."""
        learner = self.dice.choice(self.learners)
        until(lambda: works(learner), LIVE_WITHIN_S, self.run.tails)
        return learner


def works(learner: Learner) -> bool:
    """Whether its newest child has a live shard."""
    return any(line["event"] == "shard live" for line in learner.log_of_child())


def child_killed(scene: Scene) -> float:
    """SIGKILL what learns; its supervisor goes on."""
    scene.one().kill_child()
    return time.monotonic()


def machine_lost(scene: Scene) -> float:
    """SIGKILL supervisor and child; another one is started in their place, as after a machine's loss."""
    learner = scene.one()
    learner.end()
    scene.learners[scene.learners.index(learner)] = scene.run.learner()
    return time.monotonic()


def zombie(scene: Scene) -> float:
    """SIGSTOP the child for longer than its session, so that the other one takes over; then SIGCONT."""
    learner = scene.one()
    children = learner.children()
    for child in children:
        os.kill(child.pid, signal.SIGSTOP)
    begun_s = time.monotonic()
    time.sleep(SESSION_S + scene.dice.uniform(0.0, 3.0))
    for child in children:
        os.kill(child.pid, signal.SIGCONT)
    return begun_s


def rebalance(scene: Scene) -> float:
    """A third learner joins under load and leaves again."""
    begun_s = time.monotonic()
    third = scene.run.learner()
    until(lambda: works(third) or third.process.poll() is not None, LIVE_WITHIN_S, scene.run.tails)
    time.sleep(scene.dice.uniform(0.0, 2.0))
    assert third.stop() in (0, 137), third.tail()
    return begun_s


def send(server: Running | None, number: signal.Signals) -> None:
    """Send a signal to a server, which must be one of ours that runs."""
    assert server is not None
    os.kill(server.pid, number)


def broker_restarted(scene: Scene) -> float:
    """SIGKILL the broker and start it anew; recovery counts from when it answers."""
    send(read(scene.directory).kafka, signal.SIGKILL)
    time.sleep(scene.dice.uniform(0.0, 2.0))
    embedded.start_kafka(scene.directory)
    return time.monotonic()


def broker_stalled(scene: Scene) -> float:
    """SIGSTOP the broker for 5 s; recovery counts from SIGCONT."""
    server = read(scene.directory).kafka
    send(server, signal.SIGSTOP)
    time.sleep(5.0)
    send(server, signal.SIGCONT)
    return time.monotonic()


def redis_killed(scene: Scene) -> float:
    """SIGKILL Redis and start it anew: nothing that is felt in Kafka."""
    begun_s = time.monotonic()
    send(read(scene.directory).valkey, signal.SIGKILL)
    time.sleep(scene.dice.uniform(0.0, 2.0))
    embedded.start_valkey(scene.directory)
    return begun_s


def redis_flushed(scene: Scene) -> float:
    """FLUSHALL."""
    with redis.Redis.from_url(scene.run.redis_url) as client:
        client.flushall()
    return time.monotonic()


def redis_frozen(scene: Scene) -> float:
    """SIGSTOP Redis for up to 10 s; learning must not notice."""
    server, begun_s = read(scene.directory).valkey, time.monotonic()
    send(server, signal.SIGSTOP)
    time.sleep(scene.dice.uniform(2.0, 10.0))
    send(server, signal.SIGCONT)
    return begun_s


def snapshots_lost(scene: Scene) -> float:
    """Delete every snapshot and kill a learner: it replays from the beginning of the journal."""
    for file in scene.run.snapshots.rglob("*"):
        if file.is_file():
            file.unlink(missing_ok=True)
    return child_killed(scene)


def disk_full(scene: Scene) -> float:
    """No file of a learner may grow for some seconds, its log and its snapshots: nothing that is felt."""
    learner, begun_s = scene.one(), time.monotonic()
    children = learner.children()
    limits = [resource.prlimit(child.pid, resource.RLIMIT_FSIZE) for child in children]
    for child, (_, hard) in zip(children, limits, strict=True):
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, hard))
    time.sleep(scene.dice.uniform(2.0, 10.0))
    for child, limit in zip(children, limits, strict=True):
        with suppress(ProcessLookupError):
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, limit)
    return begun_s


def connections_cut(scene: Scene) -> float:
    """Cut every connection of the learners to the broker, up to five times within a second."""
    begun_s = time.monotonic()
    for _ in range(scene.dice.randint(1, 5)):
        scene.proxy.cut()
        time.sleep(scene.dice.uniform(0.0, 0.4))
    return begun_s


def connections_slow(scene: Scene) -> float:
    """Every answer of the broker is late, and few bytes pass a second; recovery counts from the end of it."""
    scene.proxy.slow_s = scene.dice.uniform(0.05, 0.4)
    scene.proxy.bytes_per_s = scene.dice.choice((20_000.0, 200_000.0, math.inf))
    time.sleep(scene.dice.uniform(5.0, 15.0))
    scene.proxy.slow_s, scene.proxy.bytes_per_s = 0.0, math.inf
    return time.monotonic()


def clock_stepped(scene: Scene) -> float:
    """Set the wall clock of the learners by up to an hour, forth or back: nothing is felt."""
    begun_s = time.monotonic()
    scene.clock_offset.write_text(str(scene.dice.uniform(-HOUR_S, HOUR_S)))
    time.sleep(scene.dice.uniform(2.0, 10.0))
    scene.clock_offset.write_text("0")
    return begun_s


FAULTS: dict[str, Callable[[Scene], float]] = {
    "learner killed": child_killed,
    "learner and supervisor killed": machine_lost,
    "zombie": zombie,
    "rebalance": rebalance,
    "broker restarted": broker_restarted,
    "broker stalled": broker_stalled,
    "Redis killed": redis_killed,
    "Redis flushed": redis_flushed,
    "Redis frozen": redis_frozen,
    "snapshots lost": snapshots_lost,
    "disk full": disk_full,
    "connections cut": connections_cut,
    "connections slow": connections_slow,
    "clock stepped": clock_stepped,
}
WEIGHTS = [18, 2, 5, 10, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1]  # in the order above: kills are what happens most
