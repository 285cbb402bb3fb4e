"""Redis as a cluster or a Sentinel is refused by every role at its start, with that as the reason."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from redis.crc import key_slot

from stream_app.adapters.redis_serving import RedisServing
from stream_app.adapters.redis_view import RedisView
from stream_app.client import EventProducer
from stream_app.embedded.ports import LOOPBACK, free_ports
from stream_app.embedded.services import Endpoints
from stream_app.embedded.valkey import binary
from stream_app.errors import Unreachable
from tests.integration.command_line import CommandLine
from tests.integration.learners import Learners
from tests.integration.serving import until

HALF = 8_192  # of the slots


def started(directory: Path, port: int, *arguments: str) -> subprocess.Popen[bytes]:
    """A Valkey on this port."""
    directory.mkdir(parents=True, exist_ok=True)
    shared = ["--bind", LOOPBACK, "--port", str(port), "--dir", str(directory)]
    return subprocess.Popen([binary(), *arguments, *shared], stdout=subprocess.DEVNULL)


def pings(port: int) -> bool:
    """Whether a server is there."""
    try:
        with redis.Redis(LOOPBACK, port) as client:
            return bool(client.execute_command("PING"))
    except redis.ConnectionError:
        return False


def ask(client: redis.Redis, *words: str | int) -> Any:
    """The raw answer to a command."""
    return client.execute_command(*words, NEVER_DECODE=True)  # type: ignore[no-untyped-call]


def whole(client: redis.Redis) -> bool:
    """Whether a node knows of every slot."""
    return b"cluster_state:ok" in ask(client, "CLUSTER", "INFO")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """URLs of two nodes, each with half of the slots."""
    directory = tmp_path_factory.mktemp("cluster")
    ports = free_ports(0, 0)
    buses = free_ports(0, 0)
    nodes = [
        started(
            directory / str(n),
            port,
            "--save",
            "",
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            str(buses[n]),
        )
        for n, port in enumerate(ports)
    ]
    try:
        for port in ports:
            until(partial(pings, port), "a node answers")
        clients = [redis.Redis(LOOPBACK, port) for port in ports]
        for n, client in enumerate(clients):
            ask(client, "CLUSTER", "ADDSLOTSRANGE", n * HALF, (n + 1) * HALF - 1)
        ask(clients[0], "CLUSTER", "MEET", LOOPBACK, ports[1], buses[1])
        for client in clients:
            until(partial(whole, client), "the cluster is whole")
            client.close()
        yield [f"redis://{LOOPBACK}:{port}/0" for port in ports]
    finally:
        for node in nodes:
            node.terminate()
            node.wait(10)


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Sentinel."""
    directory = tmp_path_factory.mktemp("sentinel")
    (directory / "sentinel.conf").write_text("sentinel resolve-hostnames no\n")
    (port,) = free_ports(0)
    server = started(directory, port, str(directory / "sentinel.conf"), "--sentinel")
    try:
        until(lambda: pings(port), "the Sentinel answers")
        yield f"redis://{LOOPBACK}:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def learners(services: Endpoints, tmp_path: Path) -> Learners:
    """Processes that get the URL of a test."""
    return Learners(services, tmp_path)


def refusal(learners: Learners, *arguments: str) -> str:
    """What a command says that refuses."""
    with learners.spawn("stream_app", *arguments, stderr=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err.decode()
    return str(err.decode())


@pytest.mark.parametrize(
    ("server", "told"),
    [("cluster", "runs in cluster mode"), ("sentinel", "is a Sentinel, which holds no data")],
)
def test_every_role_refuses_at_its_start(
    server: str, told: str, learners: Learners, request: pytest.FixtureRequest
) -> None:
    """`doctor` fails, `learn` and `serve` end with 3, all with the same reason and what to set instead."""
    given = request.getfixturevalue(server)
    call: CommandLine = learners.call
    call.environment["STREAM_APP_REDIS__URL"] = given if isinstance(given, str) else given[0]
    lines = call("doctor", "--json").lines()
    (found,) = [line for line in lines if (line["check"], line["state"]) == ("redis", "fail")]
    assert told in found["detail"]
    assert "STREAM_APP_REDIS__URL" in found["fix"]
    assert call("topics", "create", call.target).code == 0
    for command in (("learn", call.target, "--no-supervise", "--no-admission"), ("serve", call.target)):
        said = refusal(learners, *command)
        assert told in said
        assert "STREAM_APP_REDIS__URL" in said


def test_a_learner_that_runs_unattended_goes_on_without_its_view(
    cluster: list[str], learners: Learners
) -> None:
    """Started again by its supervisor, it finds a cluster: every event is predicted, and the log says why."""
    call: CommandLine = learners.call
    other = cluster[int(key_slot(f"{{{call.name}:0}}:s".encode()) < HALF)]  # not the one with shard 0
    call.environment["STREAM_APP_REDIS__URL"] = other
    assert call("topics", "create", call.target).code == 0
    with EventProducer(call.name, learners.servers) as producer:
        for n in range(20):
            producer.send(f"e{n}", {"x": float(n)}, str(n))
    flags = ("--no-admission", "--life", "2")
    streams = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with learners.spawn("stream_app", "learn", call.target, *flags, **streams) as process:
        try:
            predictions = ("consume", call.target, "predictions", "--json")
            until(lambda: len(call(*predictions).lines()) == 20, "every event is predicted")
        finally:
            process.terminate()
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert "Redis runs in cluster mode" in err.decode()


def test_an_address_that_becomes_a_cluster_later_is_named_so(cluster: list[str], tmp_path: Path) -> None:
    """The learner's view is down and a predictor's unreachable, both in these words; neither ends."""
    views = [
        RedisView(client, "a", shard, 1_000)
        for client in map(redis.Redis.from_url, cluster)
        for shard in (0, 1)
    ]
    with structlog.testing.capture_logs() as logs:
        outcomes = [view.write("", "0:1", {}) for view in views]
    assert outcomes.count("down") == 2  # each shard has its slot on one node
    assert {line["error"] for line in logs} == {"Redis runs in cluster mode, which is not supported"}

    async def faults(url: str) -> list[str]:
        serving = RedisServing(url, {}, "a", 2, str(tmp_path), 2.0)
        found = []
        for ask in (serving.shown, lambda: serving.entities([(0, "e"), (1, "e")])):
            try:
                await ask()
            except Unreachable as error:
                found.append(error.message)
        await serving.close()
        return found

    said = [fault for url in cluster for fault in asyncio.run(faults(url))]
    assert len(said) >= 3  # where both shards are on one node, their stamps are read there
    assert set(said) == {"Redis runs in cluster mode, which is not supported"}
    for view in views:
        view.client.close()
