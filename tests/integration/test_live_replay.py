"""A learner beside its producers: what it committed is what its journal says, whoever replays it."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
import orjson
import pytest
from confluent_kafka import Producer

from stream_app.client import EventProducer
from stream_app.embedded.services import Endpoints
from tests.integration.learners import Defined, Learners
from tests.integration.traffic import ROWS

SEED = int(os.environ.get("TEST_SEED") or secrets.randbelow(2**31))
SHARDS = 2
ENTITIES = 60
EVENTS = 1_200
EVENTS_PER_S = 300
SKEW_MS = 50  # how far producers' clocks are apart
SOON_S = 60.0


class Lived(msgspec.Struct):
    """A run that is over: the application, and how many records each input holds."""

    learners: Learners
    app: Defined
    sent: dict[str, int]


def until(met: Callable[[], bool], what: str, pause_s: float = 0.05) -> None:
    """Wait for a condition; a minute without it is a failure."""
    deadline_s = time.monotonic() + SOON_S
    while not met():
        assert time.monotonic() < deadline_s, f"no {what} within {SOON_S:.0f} s, TEST_SEED={SEED}"
        time.sleep(pause_s)


def send_events(learners: Learners, app: Defined, sent: dict[str, int]) -> None:
    """Events at a rate, and a pause in between; halfway it waits until the learner has answered one."""
    dice, start_s = random.Random(SEED), time.monotonic()
    with EventProducer(app.name, learners.servers) as producer:
        for n in range(EVENTS):
            stamp = time.time_ns() // 1_000_000 - dice.randrange(SKEW_MS)
            producer.send(key_of(n), ROWS[n][0], f"e{n}", time=stamp)
            sent["events"] = n + 1
            if n == EVENTS // 2:
                producer.flush()
                until(lambda: bool(learners.committed(app, "predictions")), "prediction beside the producers")
                start_s = time.monotonic() - n / EVENTS_PER_S
            if n in {EVENTS * 5 // 8, EVENTS * 6 // 8}:
                word = "pause" if n < EVENTS * 6 // 8 else "resume"
                producer.command(word, actor="a test", reason="labels are lost in between")
                sent["commands"] += SHARDS
            time.sleep(max(0.0, start_s + n / EVENTS_PER_S - time.monotonic()))


def send_labels(learners: Learners, app: Defined, sent: dict[str, int]) -> None:
    """By another client: most follow their event, some come before it, some never."""
    dice = random.Random(SEED + 1)
    due = {n: n + dice.choice((-10, 1, 1, 6, 41)) for n in range(EVENTS) if dice.random() < 0.95}
    producer = Producer({"bootstrap.servers": learners.servers, "partitioner": "murmur2_random"})
    for n in sorted(due, key=due.__getitem__):
        goal = min(EVENTS, due[n])
        until(partial(lambda goal: sent["events"] >= goal, goal), "event", 0.002)
        stamp = time.time_ns() // 1_000_000 - dice.randrange(SKEW_MS)
        value = orjson.dumps({"v": 1, "event_id": f"e{n}", "label": ROWS[n][1]})
        producer.produce(f"{app.name}.labels", value, key_of(n), timestamp=stamp)
        producer.poll(0)
        sent["labels"] += 1
    assert producer.flush(20) == 0


def key_of(n: int) -> str:
    """The entity of an event."""
    return f"entity-{n % ENTITIES}"


def read_by(learners: Learners, app: Defined) -> dict[str, int]:
    """How many records of each input the journal says are learned."""
    counts = {"commands": 0, "events": 0, "labels": 0}
    for entry in learners.committed(app, "journal"):
        for name, (_, _, n) in entry.get("inputs", {}).items():
            counts[name] += n
    return counts


@pytest.fixture(scope="module")
def lived(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A learner of two shards that began before its producers and was stopped by SIGTERM after they ended."""
    learners = Learners(services, tmp_path_factory.mktemp("live"))
    app = learners.define({"live": ("logistic", SHARDS)})["live"]
    sent = {"commands": 0, "events": 0, "labels": 0}
    flags = ("--no-supervise", "--no-admission")
    learner = learners.spawn("stream_app", "learn", app.target, *flags, stderr=subprocess.PIPE)
    try:
        until(lambda: len(learners.committed(app, "journal")) >= SHARDS, "owner of every shard")
        with ThreadPoolExecutor(2) as pool:
            producers = [pool.submit(send, learners, app, sent) for send in (send_events, send_labels)]
        for producer in producers:
            producer.result()
        until(lambda: read_by(learners, app) == sent, "journal of all that was sent")
        learner.terminate()
        learners.finish(learner)
    except AssertionError as error:
        learner.kill()
        error.add_note((learner.communicate()[1] or b"")[-3_000:].decode())
        raise
    finally:
        learner.kill()
        learner.wait()
    return Lived(learners, app, sent)


def test_a_live_run_equals_the_replay_of_its_journal(lived: Lived) -> None:
    """`verify` replays each shard from its beginning and its newest snapshot: all lines are equal."""
    pipe = subprocess.PIPE
    command = lived.learners.spawn(
        "stream_app", "verify", lived.app.target, "--json", stdout=pipe, stderr=pipe
    )
    lines = [orjson.loads(line) for line in lived.learners.finish(command).splitlines()]
    assert sorted((line["shard"], line["source"]) for line in lines) == [
        (shard, source) for shard in range(SHARDS) for source in ("earliest", "snapshot")
    ]
    assert [line for line in lines if not line["equal"]] == [], f"TEST_SEED={SEED}"
    for shard in range(SHARDS):
        ends = {(line["seq"], line["digest"], line["state"]) for line in lines if line["shard"] == shard}
        assert len(ends) == 1, f"shard {shard} ends in {ends}, TEST_SEED={SEED}"


def test_an_independent_replay_in_the_journal_s_order_gives_what_was_committed(lived: Lived) -> None:
    """Another client and bare River, fed in the order that the journal tells, answer the same to the bit."""
    print(f"TEST_SEED={SEED}")  # noqa: T201  shown with a failure
    lived.learners.judge("journal", [lived.app])
    assert not lived.learners.committed(lived.app, "dead-letters")


def test_the_run_was_live(lived: Lived) -> None:
    """The journal took in many batches, events and labels in turn, while the producers were at work."""
    entries = [entry for entry in lived.learners.committed(lived.app, "journal") if entry["type"] == "batch"]
    mixed = [entry for entry in entries if "e" in entry["order"] and "l" in entry["order"]]
    assert len(entries) > 20
    assert mixed
    assert lived.sent["events"] == EVENTS
