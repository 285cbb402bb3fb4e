"""A broker with ACLs: each role does its work with the rights that `deploy/kafka/acls.sh` gives, no more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    NewTopic,
    ResourcePattern,
    ResourceType,
)

from stream_app.embedded import kafka
from stream_app.embedded import services as embedded
from stream_app.embedded.ports import LOOPBACK, free_ports
from tests.faults.proxy import with_listener
from tests.integration.serving import until
from tests.integration.test_oauth import LISTENER, OAUTH

pytestmark = pytest.mark.soak(only=True)
ROOT = Path(__file__).parents[2]
NAME, BRIDGED = "walled", "bridged"
AUTHORIZER = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
# A token for the user that ROLE names, as `tests/integration/test_oauth.py` makes one for `me`.
TOKENS = """
import base64, json, os, time

def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

def give():
    now = int(time.time())
    user = os.environ["ROLE"]
    return f'{part({"alg": "none"})}.{part({"sub": user, "iat": now, "exp": now + 600})}.', now + 600.0
"""
# Kafka's own tool is not among the embedded broker's jars: this one notes what it is to do.
TOOL = """#!/bin/sh
printf '%s\\0' "$@" >> "$NOTED"
printf '\\n' >> "$NOTED"
"""
KINDS = {
    "--topic": ResourceType.TOPIC,
    "--group": ResourceType.GROUP,
    "--transactional-id": ResourceType.TRANSACTIONAL_ID,
    "--cluster": ResourceType.CLUSTER,
}
OPERATIONS = {"DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS}
DEFINITION = """
from river import naive_bayes
from stream_app import Application, Inputs, Topic
app = Application(
    name={name!r}, task="binary", shards=1, champion=lambda seed: naive_bayes.GaussianNB(){more}
)
"""
INPUTS = ', inputs=Inputs(events=Topic("trips", id="id", label="y"))'


def acls(noted: str) -> Iterator[ACL]:
    """What Kafka's tool would make of these calls, each a line of words that end with NUL."""
    for line in noted.splitlines():
        words = line.split("\0")
        named = {word: value for word, value in pairwise(words) if word.startswith("--")}
        ((kind, name),) = ((KINDS[word], value) for word, value in named.items() if word in KINDS)
        how = ACLResourcePatternType[named["--resource-pattern-type"].upper()]
        for word, value in pairwise(words):
            if word == "--operation":
                operation = OPERATIONS.get(value) or ACLOperation[value.upper()]
                yield ACL(
                    named["--allow-principal"],
                    "*",
                    operation,
                    ACLPermissionType.ALLOW,
                    ResourcePattern(kind, name, how),
                )


class Walled:
    """Runs commands as one role or another; at `servers` nobody asks who it is."""

    def __init__(self, environment: dict[str, str], directory: Path, servers: str) -> None:
        self.environment, self.directory, self.servers = environment, directory, servers

    def target(self, name: str) -> str:
        """The definition of an application."""
        return f"{self.directory / name}.py:app"

    def spawn(self, role: str, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "stream_app", *words],
            env={**os.environ, **self.environment, "ROLE": role},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, role: str, *words: str) -> tuple[int, str]:
        """Its exit code, and all that it says."""
        process = self.spawn(role, *words)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def does(self, role: str, *words: str) -> str:
        """What it says, if it succeeds."""
        code, said = self.run(role, *words)
        assert code == 0, said
        return said

    @contextmanager
    def serving(self, role: str, *words: str) -> Iterator[str]:
        """The address of a server that is ready meanwhile."""
        (port,) = free_ports(0)
        process, address = self.spawn(role, *words, "--port", str(port)), f"http://{LOOPBACK}:{port}"

        def is_ready() -> bool:
            assert process.poll() is None, process.communicate()[0]
            with suppress(httpx.HTTPError):
                return httpx.get(f"{address}/readyz").status_code == 200
            return False

        try:
            until(is_ready, address, 60.0)
            yield address
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walled]:
    """Topics that are made, rows that are produced, each by the role for it."""
    (port,) = free_ports(0)
    directory = tmp_path_factory.mktemp("acls")
    (directory / "my_tokens.py").write_text(TOKENS)
    tools = directory / "bin"
    tools.mkdir()
    (tools / "kafka-acls.sh").write_text(TOOL)
    (tools / "kafka-acls.sh").chmod(0o755)
    for name, more in {NAME: "", BRIDGED: INPUTS}.items():
        (directory / f"{name}.py").write_text(DEFINITION.format(name=name, more=more))
    text = with_listener(OAUTH, "SASL_PLAINTEXT", port, port)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kafka, "PROPERTIES", text + LISTENER + AUTHORIZER)
            server = embedded.start_kafka(directory)
            valkey = embedded.start_valkey(directory)
        for name in (NAME, BRIDGED):
            subprocess.run(
                [str(ROOT / "deploy/kafka/acls.sh"), f"{LOOPBACK}:{server.port}", name],
                env={**os.environ, "NOTED": str(tools / "noted"), "PATH": f"{tools}:{os.environ['PATH']}"},
                check=True,
            )
        rights = list(acls((tools / "noted").read_text()))
        trips = ResourcePattern(ResourceType.TOPIC, "trips", ACLResourcePatternType.LITERAL)
        reads = (ACLOperation.READ, ACLOperation.DESCRIBE, ACLOperation.DESCRIBE_CONFIGS)
        rights += [
            ACL(f"User:{role}", "*", read, ACLPermissionType.ALLOW, trips)
            for role in ("admin", "bridge")
            for read in reads
        ]
        admin = KafkaAdminClient(bootstrap_servers=f"{LOOPBACK}:{server.port}")
        done = admin.create_acls(rights)
        assert len(done["succeeded"]) == len(rights), done
        admin.create_topics([NewTopic("trips", 2, 1)])
        admin.close()
        environment = {
            "STREAM_APP_KAFKA__BOOTSTRAP_SERVERS": f"{LOOPBACK}:{port}",
            "STREAM_APP_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "STREAM_APP_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
            "STREAM_APP_KAFKA__SASL_TOKEN": "my_tokens:give",
            "STREAM_APP_REDIS__URL": f"redis://{LOOPBACK}:{valkey.port}/0",
            "STREAM_APP_SNAPSHOTS__URL": str(directory / "snapshots"),
            "STREAM_APP_SIGNING__KEYS": "5a" * 32,
            "XDG_STATE_HOME": str(directory / "state"),
            "PYTHONPATH": str(directory),
        }
        made = Walled(environment, directory, f"{LOOPBACK}:{server.port}")
        for name in (NAME, BRIDGED):
            made.does("admin", "topics", "create", made.target(name))
        yield made
    finally:
        embedded.down(directory)


def test_a_life_by_roles(walled: Walled) -> None:
    """A producer, a learner twice, a predictor that records, a consumer, and an admin's tools."""
    target, rows = walled.target(NAME), walled.directory / "rows.csv"
    rows.write_text("user,x,y\n" + "".join(f"u{n},{n}.5,{'true' if n % 2 else 'false'}\n" for n in range(20)))
    walled.does("producer", "produce", target, str(rows), "--key", "user", "--label", "y")
    learn = ("learn", target, "--exit-when-idle", "0.5", "--no-admission")
    walled.does("learner", *learn)
    with walled.serving("predictor", "serve", target) as address:
        row = {"key": "u1", "features": {"x": 1.5}, "event_id": "asked", "record": True}
        answer = httpx.post(f"{address}/v1/predict", json=row, timeout=20)
        assert answer.status_code == 200, answer.text
    walled.does("learner", *learn)
    assert walled.does("consumer", "consume", target, "predictions", "--json").count('"event_id"') == 21
    for words in (("status",), ("verify",), ("models", "ls"), ("dlq", "ls")):
        walled.does("admin", *words, target)


def test_a_bridge_and_ops_by_roles(walled: Walled) -> None:
    """Both begin with topics that they have not seen; ops keeps its tables in topics of its own."""
    producer = KafkaProducer(bootstrap_servers=walled.servers)
    for n in range(20):
        value = b'{"id": "t%d", "x": %d.5, "y": %s}' % (n, n, b"true" if n % 2 else b"false")
        producer.send("trips", value, b"k")
    producer.flush(20)
    producer.close()
    target = walled.target(BRIDGED)
    walled.does("bridge", "bridge", target, "--exit-when-idle", "0.5")
    walled.does("learner", "learn", target, "--exit-when-idle", "0.5", "--no-admission")
    with walled.serving("ops", "ops", target) as address:
        board = f"{address}/v1/board/{BRIDGED}"
        until(lambda: httpx.get(board).json()["health"]["state"] != "empty", "statistics are here", 30.0)


def test_who_has_no_right_is_refused_with_the_right_to_grant(walled: Walled) -> None:
    """A predictor cannot learn, a producer cannot read what others get, a consumer cannot send commands."""
    target = walled.target(NAME)
    for role, words in {
        "predictor": ("learn", target, "--no-admission"),
        "producer": ("consume", target, "predictions"),
        "consumer": ("command", target, "pause", "--reason", "try"),
    }.items():
        code, said = walled.run(role, *words)
        assert (code, "or let this user describe it" in said) == (3, True), said
