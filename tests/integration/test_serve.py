"""`stream-app serve` as a process: HTTP answers what the learner would, and the whole way round."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from typing import Any

import orjson
import pytest
import redis

from stream_app.client import EventProducer
from stream_app.embedded.services import Endpoints
from tests.integration.learners import Learners
from tests.integration.serving import (
    HOUR_MS,
    KEYS,
    TASKS,
    WITHIN_S,
    Serves,
    defined,
    learning,
    produce,
    row,
    serving,
    until,
)


@pytest.fixture(scope="module")
def learners(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Learners:
    """Applications on the session's servers, with a predictor's settings."""
    return Learners(services, tmp_path_factory.mktemp("serve"))


CASES = {"binary on 1": ("binary", 1), **{f"{task} on 4": (task, 4) for task in TASKS}}


@pytest.fixture(scope="module")
def answers(learners: Learners) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """By case and entity: what HTTP answered, and what the learner committed later for the same."""
    apps = defined(learners, CASES)
    start_ms = int(time.time() * 1000) - HOUR_MS
    for app in apps.values():
        produce(learners, app, 480, start_ms)
    learners.learn(apps.values())
    asked_ms, over_http = start_ms + 600_000, dict[str, dict[str, Any]]()
    with serving(learners, *(app.target for app in apps.values())) as servers:
        for server, (case, app) in zip(servers, apps.items(), strict=True):
            server.ready()
            over_http[case] = {}
            shards = set()
            for entity in range(KEYS + 2):  # the last two are unknown
                body = {"key": f"e{entity}", "features": row(1_000 + entity), "time": asked_ms}
                answer = until(partial(informed, server, body), "Redis answers")
                if app.model == "anomaly" and answer["shard"] in shards:
                    continue  # a detector learns from every event: only the first meets what was published
                shards.add(answer["shard"])
                over_http[case][f"e{entity}"] = answer
    for case, app in apps.items():
        with EventProducer(app.name, learners.servers) as producer:
            for key in over_http[case]:
                producer.send(key, row(1_000 + int(key[1:])), f"asked:{key}", time=asked_ms)
    learners.learn(apps.values())
    committed = {}
    for case, app in apps.items():
        found = {p["event_id"]: p for p in learners.committed(app, "predictions")}
        committed[case] = {key: found[f"asked:{key}"] for key in over_http[case]}
    return {case: (over_http[case], committed[case]) for case in apps}


def informed(server: Serves, body: dict[str, Any]) -> dict[str, Any] | None:
    """An answer with the entity's features: on a busy machine Redis may not come in time for the first."""
    answer: dict[str, Any] = server.post("/v1/predict", **body)
    return None if "view-unreachable" in answer["stale_because"] else answer


@pytest.mark.parametrize("case", CASES)
def test_http_answers_what_the_learner_commits_for_the_same_state(
    answers: dict[str, tuple[dict[str, Any], dict[str, Any]]], case: str
) -> None:
    """Prediction, probabilities, model and labels learned, to the bit; known entities and unknown ones."""
    over_http, committed = answers[case]
    assert len(over_http) >= CASES[case][1]
    shared = ("key", "prediction", "probabilities", "cold", "model", "learned", "shard", "time_ms")
    for key, answer in over_http.items():
        ours, theirs = ({name: one.get(name) for name in shared} for one in (answer, committed[key]))
        assert orjson.dumps(ours) == orjson.dumps(theirs)
        assert answer["entity_known"] == (int(key[1:]) < KEYS)


def moved(found: dict[str, Any]) -> dict[str, Any] | None:
    """The features of an entity whose last event is of now."""
    return found if found["feature_age_ms"] < HOUR_MS / 2 else None


def test_the_whole_way_round(learners: Learners) -> None:
    """Events become features, a recorded row an event, feedback a label, and the model knows one more."""
    app = defined(learners, {"round": ("binary", 2)})["round"]
    produce(learners, app, 200, int(time.time() * 1000) - HOUR_MS)
    with learning(learners, app.target), serving(learners, app.target) as (server,):
        server.ready()
        until(lambda: server.post("/v1/predict", key="e1", features=row(1))["entity_known"], "e1 is known")

        def learned() -> int:
            return sum(shard["learned"] for shard in server.http.get("/v1/model").json()["shards"])

        until(lambda: learned() == 200, "all labels are learned")
        before = server.http.get("/v1/features/e1").json()
        answer = server.post("/v1/predict", key="e1", features=row(7), record=True)
        assert answer["recorded"]
        server.post("/v1/feedback", key="e1", event_id=answer["event_id"], label=True)
        until(lambda: learned() == 201, "the label is learned")
        after = until(
            lambda: (
                (found := server.http.get("/v1/features/e1").json())["feature_age_ms"] < HOUR_MS / 2 and found
            ),
            "the entity's features have moved",
        )
        assert before["feature_age_ms"] > HOUR_MS / 2
        assert (before["features"]["last_w"], after["features"]["last_w"]) == (row(193)["w"], row(7)["w"])
    predictions = learners.committed(app, "predictions")
    assert len(predictions) == 201
    assert answer["event_id"] in {one["event_id"] for one in predictions}


def test_no_request_makes_the_server_fail(learners: Learners) -> None:
    """Schemathesis finds none that is answered with 5xx, from the OpenAPI description alone."""
    app = defined(learners, {"fuzz": ("binary", 1)})["fuzz"]
    produce(learners, app, 50, int(time.time() * 1000) - HOUR_MS)
    learners.learn([app])
    with serving(learners, app.target) as (server,):
        server.ready()
        command = [
            "run",
            f"{server.address}/openapi.json",
            "--max-examples",
            "60",
            "--seed",
            "1",
            "--no-color",
            "--checks",
            "not_a_server_error,content_type_conformance",
        ]
        fuzz = learners.spawn("schemathesis.cli", *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = fuzz.communicate(timeout=180)
        assert fuzz.returncode == 0, out.decode()[-6_000:]
        assert server.http.get("/readyz").status_code == 200


def test_a_refused_publication_becomes_one_alert_and_changes_no_answer(
    learners: Learners, services: Endpoints
) -> None:
    """Whoever writes to Redis: what is not signed is not loaded, and people are told."""
    app = defined(learners, {"stranger": ("binary", 1)})["stranger"]
    now_ms = int(time.time() * 1000)
    question = {
        "key": "e1",
        "features": row(1),
        "time": now_ms,
    }  # at one moment, or windows move on meanwhile
    produce(learners, app, 50, now_ms - HOUR_MS)
    learners.learn([app])
    with serving(learners, app.target) as (server,):
        server.ready()
        before = server.post("/v1/predict", **question)
        with redis.Redis.from_url(services.redis_url) as client:
            for stamp in ("9:1", "9:2"):
                client.hset(f"{{{app.name}:0}}:m", mapping={"stamp": stamp, "model": b"{}\n0\nrubbish"})
                time.sleep(0.6)

        def alerts() -> list[Any]:
            told = learners.committed(app, "alerts")
            return [alert for alert in told if alert["type"] == "publication-refused"]

        (alert,) = until(alerts, "the alert is written")
        assert (alert["severity"], alert["evidence"]["stamp"]) == ("critical", "9:1")
        after = server.post("/v1/predict", **question)
        assert after["probabilities"] == before["probabilities"]


def test_a_port_that_is_taken_is_told(learners: Learners) -> None:
    """The second server ends with 3 and the remedy; the first goes on, and ends well before it was ready."""
    app = defined(learners, {"port": ("binary", 1)})["port"]
    with serving(learners, app.target) as (server,):
        until(lambda: server.http.get("/livez").status_code == 200, "the server lives")
        command = ("serve", app.target, "--port", server.address.rpartition(":")[2])
        process = learners.spawn("stream_app", *command, stderr=subprocess.PIPE)
        _, err = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 3, err
        assert b"--port" in err


def test_an_open_door_needs_tokens(learners: Learners) -> None:
    """Bound to more than loopback without any, it does not start: 3, and the remedy."""
    app = defined(learners, {"open": ("binary", 1)})["open"]
    command = ("serve", app.target, "--host", "0.0.0.0")  # noqa: S104  the claim is that it is refused
    process = learners.spawn("stream_app", *command, stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 3
    assert b"TOKENS_READ" in err
