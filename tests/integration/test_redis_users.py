"""The users that deploy/valkey ships, on a real Valkey: a predictor serves as one, and writes nothing."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from stream_app.adapters.model_shelf import RedisModelShelf
from stream_app.adapters.redis_admin import redis_facts
from stream_app.adapters.redis_serving import RedisServing
from stream_app.adapters.redis_view import RedisView
from stream_app.adapters.signing import public_key
from stream_app.embedded.ports import LOOPBACK, free_ports
from stream_app.embedded.services import Endpoints
from stream_app.embedded.valkey import binary
from stream_app.errors import Unreachable
from tests.integration.learners import Learners
from tests.integration.serving import HOUR_MS, Serves, defined, learning, produce, row, until

USERS = Path(__file__).parents[2] / "deploy" / "valkey" / "users.acl"
PRIVATE = "5a" * 32
WRITES = [
    ("SET", "{a:0}:s", "9:9"),
    ("HSET", "{a:0}:m", "stamp", "9:9"),
    ("DEL", "{a:0}:s"),
    ("EXPIRE", "{a:0}:s", "1"),
    ("EVAL", "return redis.call('SET', KEYS[1], '9:9')", "1", "{a:0}:s"),
    ("FLUSHALL",),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("ACL", "SETUSER", "predictor", "+@all"),
    ("SCRIPT", "LOAD", "return 1"),
    ("GET", "of another application"),
]


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """URLs by user of a Valkey with the shipped users."""
    directory = tmp_path_factory.mktemp("users")
    text = USERS.read_text().replace("LEARNER_PASSWORD", "l" * 32).replace("PREDICTOR_PASSWORD", "p" * 32)
    (directory / "users.acl").write_text(text)
    (port,) = free_ports(0)
    server = subprocess.Popen(
        [
            binary(),
            "--bind",
            LOOPBACK,
            "--port",
            str(port),
            "--dir",
            str(directory),
            "--save",
            "",
            "--aclfile",
            str(directory / "users.acl"),
        ],
        stdout=subprocess.DEVNULL,
    )
    urls = {name: f"redis://{name}:{name[0] * 32}@{LOOPBACK}:{port}/0" for name in ("learner", "predictor")}
    try:
        until(lambda: answers(urls["learner"]), "Valkey answers")
        yield urls | {"none": f"redis://{LOOPBACK}:{port}/0"}
    finally:
        server.terminate()
        server.wait(10)


def answers(url: str) -> bool:
    """Whether a server is there."""
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_the_learner_s_user_may_do_all_that_a_learner_does(users: dict[str, str], tmp_path: Path) -> None:
    """The view is written, rebuilt and looked through, a champion put and touched, the server asked."""
    with redis.Redis.from_url(users["learner"]) as client:
        view = RedisView(client, "l", 0, 60_000, "now")
        assert view.rebuild("0:1", {"a": b"[1]", "b": b"[1]"}, True) == "ok"
        assert view.write("0:1", "0:2", {"b": None}) == "ok"
        assert (view.keys(), view.stamp()) == (["a"], "0:2")
        shelf = RedisModelShelf(client, str(tmp_path), "l", 0, b"k" * 32)
        assert (shelf.put("0:1", 1, b"sealed"), shelf.touch("0:1", 2)) == ("ok", "ok")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.flushall()
    assert redis_facts(users["learner"], {}).role == "master"


def test_the_predictor_s_user_reads_and_hears_and_writes_nothing(
    users: dict[str, str], tmp_path: Path
) -> None:
    """Every read of a predictor passes, doctor's too; every write is refused by Redis."""
    with redis.Redis.from_url(users["learner"]) as client:
        RedisModelShelf(client, str(tmp_path), "a", 0, b"k" * 32).put("0:1", 1, b"sealed")
        view = RedisView(client, "a", 0, 60_000, "now")
        assert view.rebuild("0:1", {"e": b"[1]"}, True) == "ok"

        async def case() -> None:
            serving = RedisServing(users["predictor"], {}, "a", 1, str(tmp_path), 2.0)
            changes = serving.changes()
            assert await anext(changes) is None
            assert await serving.shown() == [("0:1", 1)]
            assert await serving.sealed(0) == b"sealed"
            assert await serving.entities([(0, "e")]) == [b'[1,"now"]']
            assert view.write("0:1", "0:2", {"e": b"[2]"}) == "ok"
            assert await anext(changes) == ["e"]
            await changes.aclose()
            await serving.close()

        asyncio.run(case())
    assert redis_facts(users["predictor"], {}).role == "master"
    with redis.Redis.from_url(users["predictor"]) as client:
        for command in WRITES:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


def test_a_user_without_rights_is_named(users: dict[str, str], tmp_path: Path) -> None:
    """A server that refuses is not one that does not answer."""

    async def shown(url: str) -> Any:
        serving = RedisServing(url, {}, "a", 1, str(tmp_path), 2.0)
        try:
            return await serving.shown()
        finally:
            await serving.close()

    with pytest.raises(Unreachable, match="Redis refuses the user name or the password"):
        asyncio.run(shown(users["none"]))
    with redis.Redis.from_url(users["predictor"]) as client:
        view = RedisView(client, "a", 0, 60_000, "now")
        assert view.write("", "9:9", {}) == "down"


def test_a_predictor_serves_with_its_own_user_and_the_public_key_alone(
    users: dict[str, str], services: Endpoints, tmp_path: Path
) -> None:
    """A learner with the private key and its user learns; the predictor's environment holds neither."""
    learners = Learners(services, tmp_path)
    (app,) = defined(learners, {"one": ("binary", 1)}).values()
    produce(learners, app, 60, int(time.time() * 1000) - HOUR_MS)
    environment = learners.call.environment
    environment |= {"STREAM_APP_SIGNING__KEYS": PRIVATE, "STREAM_APP_REDIS__URL": users["learner"]}
    printed = learners.call("keys", "public").out.strip()
    assert printed == f"ed25519:{public_key(bytes.fromhex(PRIVATE)).hex()}"
    with learning(learners, app.target):
        del environment["STREAM_APP_SIGNING__KEYS"]
        environment |= {
            "STREAM_APP_SIGNING__PUBLIC_KEYS": printed,
            "STREAM_APP_REDIS__URL": users["predictor"],
        }
        server = Serves(learners, app.target)
        try:
            server.ready()
            answer = until(
                lambda: (
                    (found := server.post("/v1/predict", key="e1", features=row(1)))["entity_known"] and found
                ),
                "the entity is known",
            )
            assert answer["shard"] == 0
        finally:
            assert server.end() == 0
    flags = ("--no-supervise", "--no-admission")
    with learners.spawn("stream_app", "learn", app.target, *flags, stderr=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"no private signing key is set" in err
