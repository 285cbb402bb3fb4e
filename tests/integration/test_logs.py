"""What a learner writes to stderr while it is fed what it must refuse."""

from __future__ import annotations

import subprocess
from pathlib import Path

import orjson
from kafka import KafkaProducer

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine
from tests.integration.learners import Learners

CANARY = "canary7654321"
DEFINITION = """
from stream_app.application import Application
from river import naive_bayes
class Quotes(naive_bayes.GaussianNB):
    def predict_proba_one(self, x):
        raise ValueError(f"cannot take {{x}}")
    def learn_one(self, x, y):
        raise ValueError(f"cannot learn {{x}} {{y}}")
app = Application(
    name={name!r}, task="binary", champion=lambda seed: naive_bayes.GaussianNB(),
    challengers={{"quotes": lambda seed: Quotes()}},
)
"""
KEY = "5a" * 32
GOOD = {"v": 1, "event_id": f"{CANARY}-good", "features": {CANARY: 1.0}, "label": True}
BAD = [
    f"{CANARY} is no JSON".encode(),
    orjson.dumps({"v": 1, "event_id": CANARY, "features": {"x": [CANARY]}}),
    orjson.dumps({"v": 1, "event_id": CANARY, "features": {CANARY: None}}),
    orjson.dumps({"v": 1, "event_id": CANARY, "features": {"x": CANARY * 10_000}}),
    orjson.dumps({**GOOD, "features": {CANARY: 2.0}}),
]


def test_no_payload_key_or_secret_is_logged(services: Endpoints, stream_app: CommandLine) -> None:
    """Bad events, a bad label, a bad command and a model that quotes: all refused, none of it on stderr."""
    learners = Learners(services, stream_app.directory)
    learners.call.environment["STREAM_APP_SIGNING__KEYS"] = KEY
    name = f"{stream_app.name}-logs"
    target = f"{stream_app.file('quotes.py', DEFINITION.format(name=name))}:app"
    assert stream_app("topics", "create", target).code == 0
    producer = KafkaProducer(bootstrap_servers=services.bootstrap_servers)
    for value in (orjson.dumps(GOOD), *BAD):
        producer.send(f"{name}.events", value, CANARY.encode())
    producer.send(f"{name}.labels", orjson.dumps({"v": 1, "event_id": CANARY, "label": [CANARY]}), b"k")
    producer.send(f"{name}.commands", orjson.dumps({"v": 1, "command": CANARY}), CANARY.encode())
    producer.flush(20)
    producer.close()
    flags = ("--no-admission", "--no-supervise", "--exit-when-idle", "1")
    with learners.spawn("stream_app", "learn", target, *flags, stderr=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    (shard,) = learners.call("status", target, "--json").lines()
    assert sum(shard["dead_letters"].values()) == len(BAD) + 2, shard["dead_letters"]
    assert b"challenger-failed" in err
    assert CANARY not in err.decode()
    assert KEY not in err.decode()
    lines = [orjson.loads(line) for line in err.splitlines()]
    assert {line["app"] for line in lines if line["event"] in {"shard live", "alert"}} == {name}


def test_a_log_that_cannot_be_written_stops_nobody(services: Endpoints, stream_app: CommandLine) -> None:
    """With stderr on a full disk a supervised learner learns all, and ends well."""
    learners = Learners(services, stream_app.directory)
    app = learners.define({"it": ("bayes", 1)})["it"]
    learners.produce(app, [({"x": float(n)}, n % 2 == 0) for n in range(20)], "full", "--label", "label")
    with Path("/dev/full").open("wb") as full:
        learning = learners.spawn(
            "stream_app", "learn", app.target, "--no-admission", "--exit-when-idle", "0.3", stderr=full
        )
        assert learning.wait(60) == 0
    assert len(learners.committed(app, "predictions")) == 20
