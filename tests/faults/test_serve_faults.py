"""A predictor under load: champions change, Redis freezes, is flushed, dies. Nothing is answered wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http.client import HTTPConnection
from itertools import count, pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest
import redis

from stream_app.client import EventProducer
from stream_app.embedded import services as servers
from stream_app.embedded.services import Endpoints
from tests.integration.learners import Defined, Learners
from tests.integration.serving import (
    HOUR_MS,
    KEYS,
    WITHIN_S,
    Serves,
    defined,
    learning,
    produce,
    row,
    serving,
    until,
)
from tests.lengths import length

pytestmark = pytest.mark.soak(long=True)

SWAPS = int(os.environ.get("FAULTS_SERVED_SWAPS", length(60, 60, 2_000)))
FROZEN_S = float(os.environ.get("FAULTS_REDIS_FROZEN_S", length(2, 2, 30)))
ENTITIES = int(os.environ.get("FAULTS_FLUSHED_ENTITIES", length(1_000, 1_000, 100_000)))
RATE = 500  # requests per second
AT_ONCE = 16
ENOUGH = 60  # answers, so that the middle one says something
WAITED_S = 0.05  # half of what an answer waits for a Redis that does not answer
UNREACHABLE = "view-unreachable"
TWO = """
from river import base
from stream_app.application import Application, Labels, SwapPolicy
class Says(base.Classifier):
    def __init__(self, answer):
        self.answer, self.seen = answer, 0
    def learn_one(self, x, y):
        self.seen += 1
    def predict_proba_one(self, x):
        return {self.answer: 0.75, not self.answer: 0.25}
app = Application(
    name=NAME, task="binary", champion=lambda seed: Says(True),
    challengers={"other": lambda seed: Says(False)},
    labels=Labels(horizon="1h"), swap=SwapPolicy(policy="never"), drift=[],
)
"""


class Answer(NamedTuple):
    """One request under load: when it was sent, when it was answered, and with what."""

    sent_s: float
    done_s: float
    status: int
    body: dict[str, Any]


async def loaded(
    server: Serves, seconds: float, beside: Callable[[list[Answer]], Awaitable[None]]
) -> list[Answer]:
    """Ask at `RATE`, at most `AT_ONCE` at a time, for so long and until `beside`, which sees them, ends."""
    answers: list[Answer] = []
    room = asyncio.Semaphore(AT_ONCE)

    async with aiohttp.ClientSession(server.address) as http:

        async def ask(n: int) -> None:
            body = {"key": f"e{n % KEYS}", "features": row(n)}
            sent_s = time.monotonic()
            async with http.post("/v1/predict", json=body) as response:
                answer = await response.json(loads=orjson.loads)
            answers.append(Answer(sent_s, time.monotonic(), response.status, answer))
            room.release()

        work = asyncio.ensure_future(beside(answers))
        started_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for n in count():
                if n >= seconds * RATE and work.done():
                    break
                if (wait_s := started_s + n / RATE - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                await room.acquire()  # a machine that is too slow is asked more slowly
                group.create_task(ask(n))
        await work
    return answers


async def enough(answers: list[Answer], since_s: float) -> None:
    """Wait until `ENOUGH` requests that were sent after a moment are answered."""
    async with asyncio.timeout(WITHIN_S):
        while sum(answer.sent_s > since_s for answer in answers[-2 * ENOUGH :]) < ENOUGH:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def right_again(answers: list[Answer], since_s: float) -> bool:
    """Whether the newest `ENOUGH` answers, sent after a moment, are fresh and of known entities."""
    newest = [answer for answer in answers[-ENOUGH:] if answer.sent_s > since_s]
    fresh = [one for one in newest if not one.body["stale"] and one.body["entity_known"]]
    return len(fresh) == ENOUGH


def middle_s(answers: list[Answer]) -> float:
    """How long the middle one of them took."""
    return median(answer.done_s - answer.sent_s for answer in answers)


@pytest.fixture
def learners(services: Endpoints, tmp_path: Path) -> Learners:
    """Applications on the session's servers; a predictor that looks for champions often."""
    made = Learners(services, tmp_path)
    made.call.environment["STREAM_APP_SERVE__REFRESH_S"] = "0.02"
    return made


def test_champions_change_under_load_without_a_wrong_answer(learners: Learners) -> None:
    """Swaps at 500 requests a second: no error, each answer is wholly one model's, and none goes back."""
    name = f"{learners.call.name}-swaps"
    file = learners.call.file("two.py", TWO.replace("NAME", repr(name)))
    app = Defined(name, f"{file}:app", "two", 1)
    assert learners.call("topics", "create", app.target).code == 0
    with (
        EventProducer(name, learners.servers) as producer,
        learning(learners, app.target),
        serving(learners, app.target) as (server,),
    ):
        server.ready()
        producer.send("k", row(0), label=True)
        until(lambda: server.http.get("/v1/model").json()["shards"][0]["learned"], "both models have learned")

        async def swaps(answers: list[Answer]) -> None:
            for n in range(SWAPS):
                slot = ("other", "champion")[n % 2]
                producer.send("k", row(n), label=True)
                producer.command("promote", actor="test", reason="load", shard=0, slot=slot)
                async with asyncio.timeout(WITHIN_S):
                    while not answers or answers[-1].body["model"]["name"] != slot:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)

        answers = asyncio.run(loaded(server, 1.0, swaps))
    assert {answer.status for answer in answers} == {200}
    bodies = [answer.body for answer in sorted(answers, key=lambda answer: answer.done_s)]
    assert {(body["model"]["name"], body["prediction"]) for body in bodies} == {
        ("champion", True),
        ("other", False),
    }
    assert all(max(body["probabilities"].values()) == 0.75 for body in bodies)
    changes = sum(a["model"] != b["model"] for a, b in pairwise(bodies))
    assert changes >= SWAPS - 1
    learned = [body["learned"] for body in bodies]
    assert max(learned) > SWAPS / 2
    assert all(b >= a - 1 for a, b in pairwise(learned))  # two may end in another order


def test_a_connection_that_was_idle_is_used_again(learners: Learners) -> None:
    """A client that keeps connections for some seconds never meets one that the server has just closed."""
    app = defined(learners, {"faults": ("binary", 2)})["faults"]
    with serving(learners, app.target) as (server,):
        until(lambda: server.http.get("/readyz").status_code, "it answers")
        connection = HTTPConnection(server.address.removeprefix("http://"), timeout=WITHIN_S)
        for idle_s in (0.0, 5.5):
            time.sleep(idle_s)
            connection.request("GET", "/readyz")
            assert connection.getresponse().read()  # raises RemoteDisconnected where it was closed
        connection.close()


@pytest.fixture
def apart(learners: Learners, tmp_path: Path) -> Any:
    """A Valkey of its own, the application on it, learned, and what its process is."""
    directory = tmp_path / "valkey"
    process = servers.start_valkey(directory)
    learners.call.environment["STREAM_APP_REDIS__URL"] = f"redis://127.0.0.1:{process.port}/0"
    app = defined(learners, {"faults": ("binary", 2)})["faults"]
    produce(learners, app, 480, int(time.time() * 1000) - HOUR_MS)
    try:
        yield app, process, directory
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        servers.down(directory)


def test_a_frozen_redis_costs_no_answer_and_no_time(learners: Learners, apart: Any) -> None:
    """Every request is answered within the bound, marked once that is noticed, and right again after it."""
    app, process, _ = apart
    learners.learn([app])
    with learning(learners, app.target), serving(learners, app.target) as (server,):
        server.ready()
        for n in range(KEYS // 2):  # the other half has never been asked for
            server.post("/v1/predict", key=f"e{n}", features=row(n))
        frozen_s, noticed_s, thawed_s = 0.0, 0.0, 0.0

        async def freeze(answers: list[Answer]) -> None:
            nonlocal frozen_s, noticed_s, thawed_s
            await asyncio.sleep(1.0)
            frozen_s = time.monotonic()
            os.kill(process.pid, signal.SIGSTOP)
            async with asyncio.timeout(WITHIN_S):
                while UNREACHABLE not in answers[-1].body["stale_because"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            noticed_s = time.monotonic()
            await asyncio.sleep(FROZEN_S)
            await enough(answers, noticed_s)
            thawed_s = time.monotonic()
            os.kill(process.pid, signal.SIGCONT)
            async with asyncio.timeout(WITHIN_S):
                while not right_again(answers, thawed_s):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

        answers = asyncio.run(loaded(server, 1.0, freeze))
        assert {answer.status for answer in answers} == {200}
        during = [a for a in answers if noticed_s < a.sent_s and a.done_s < thawed_s]
        assert all(UNREACHABLE in answer.body["stale_because"] for answer in during)
        calm = [answer for answer in answers if answer.done_s < frozen_s]
        assert middle_s(during) - middle_s(calm) < WAITED_S  # once that is noticed, none waits for Redis


@pytest.mark.parametrize("fault", ["flushed", "killed"])
def test_a_redis_that_lost_everything_is_filled_again(learners: Learners, apart: Any, fault: str) -> None:
    """The predictor answers meanwhile, and in the end as before: model and features are published anew."""
    app, process, directory = apart
    with learning(learners, app.target), serving(learners, app.target) as (server,):
        server.ready()

        def known() -> bool:
            answers = [server.post("/v1/predict", key=f"e{n}", features=row(n)) for n in range(KEYS)]
            return all(a["entity_known"] and not a["stale"] and a["learned"] for a in answers)

        until(known, "everything is known")
        if fault == "flushed":
            with redis.Redis(port=process.port) as client:
                client.flushall()
        else:
            os.kill(process.pid, signal.SIGKILL)
            assert server.post("/v1/predict", key="e1", features=row(1))["entity_known"]
            for folder in (directory / "valkey").rglob("appendonlydir"):
                shutil.rmtree(folder)
            assert servers.start_valkey(directory).port == process.port
        client = redis.Redis(port=process.port)
        until(
            lambda: len(client.keys("*:m")) == 2 and len(client.keys("*:f:*")) == KEYS,
            "Redis is filled again",
        )
        client.close()
        until(known, "everything is known again")


def test_every_entity_is_back_within_a_minute_of_a_flush(learners: Learners, apart: Any) -> None:
    """Not only those that were asked for."""
    app, process, _ = apart
    start_ms = int(time.time() * 1000) - HOUR_MS // 2
    with EventProducer(app.name, learners.servers) as producer:
        for n in range(ENTITIES):
            producer.send(f"many{n}", row(n), f"many:{n}", time=start_ms)
    with learning(learners, app.target), redis.Redis(port=process.port) as client:

        def held() -> int:
            return sum(1 for _ in client.scan_iter("*:f:*", count=1_000))

        until(lambda: held() == KEYS + ENTITIES, "every entity is written")
        client.flushall()
        until(lambda: held() == KEYS + ENTITIES, "every entity is back")
