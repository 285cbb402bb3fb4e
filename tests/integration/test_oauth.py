"""A broker that lets nobody in without a token: every client gets in with the function of the user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.embedded import kafka
from stream_app.embedded import services as embedded
from stream_app.embedded.ports import LOOPBACK, free_ports
from tests.faults.proxy import with_listener
from tests.integration.command_line import DEFINITION

OAUTH = "OAUTH"
LISTENER = """
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule \
required unsecuredLoginStringClaim_sub="broker";
"""
TOKENS = """
import base64, json, os, time

def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

def give():
    if os.environ.get("NO_TOKEN"):
        raise RuntimeError("the identity provider is away")
    now = int(time.time())
    return f'{part({"alg": "none"})}.{part({"sub": "me", "iat": now, "exp": now + 60})}.', now + 60.0
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a process needs to reach it."""
    (port,) = free_ports(0)
    directory = tmp_path_factory.mktemp("oauth")
    (directory / "my_tokens.py").write_text(TOKENS)
    text = with_listener(OAUTH, "SASL_PLAINTEXT", port, port)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kafka, "PROPERTIES", text + LISTENER)
            embedded.start_kafka(directory)
            valkey = embedded.start_valkey(directory)
        yield {
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
    finally:
        embedded.down(directory)


def run(broker: dict[str, str], *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "stream_app", *words],
        env={**os.environ, **broker, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_every_role_gets_in_with_a_token(broker: dict[str, str], tmp_path: Path) -> None:
    """Topics, records, a learner with its transactions, predictions and the doctor."""
    file = tmp_path / "app.py"
    file.write_text(DEFINITION.format(name="oauth", shards=1))
    rows = tmp_path / "rows.csv"
    rows.write_text("user,x,y\n" + "".join(f"u{n},{n}.5,{'true' if n % 2 else 'false'}\n" for n in range(20)))
    target = f"{file}:app"
    created = run(broker, "topics", "create", target)
    assert created.returncode == 0, created.stderr
    produced = run(broker, "produce", target, str(rows), "--key", "user", "--label", "y")
    assert produced.returncode == 0, produced.stderr
    learned = run(broker, "learn", target, "--exit-when-idle", "0.5", "--no-admission", "--no-supervise")
    assert learned.returncode == 0, learned.stderr
    read = run(broker, "consume", target, "predictions", "--json")
    assert len(read.stdout.splitlines()) == 20, read.stderr


def test_a_function_that_fails_is_an_error_with_its_reason(broker: dict[str, str], tmp_path: Path) -> None:
    """No client gets in, and the command ends."""
    file = tmp_path / "app.py"
    file.write_text(DEFINITION.format(name="oauth", shards=1))
    done = run(broker, "topics", "check", f"{file}:app", NO_TOKEN="1")
    assert done.returncode == 3, done.stdout
    assert "no Kafka broker answers" in done.stderr
