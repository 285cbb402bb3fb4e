"""The ops process on real Kafka: what it shows, what it sends, what it never sees, and how it ends."""

from __future__ import annotations

import hmac
import subprocess
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer

from stream_app.embedded.services import Endpoints
from tests.integration.learners import Defined, Learners
from tests.integration.operating import (
    ADMIN,
    Ops,
    Webhook,
    alert,
    as_text,
    operating,
    route,
    table,
    until,
    webhook,
    write,
)
from tests.integration.serving import defined, learning, produce


@pytest.fixture
def learners(services: Endpoints, tmp_path: Path) -> Learners:
    """Applications on the session's servers."""
    return Learners(services, tmp_path)


@pytest.fixture
def app(learners: Learners) -> Defined:
    """One application of two shards, its topics created."""
    return defined(learners, {"app": ("binary", 2)})["app"]


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """A webhook that says yes."""
    with webhook() as server:
        yield server


def test_what_was_never_committed_is_neither_shown_nor_sent(
    learners: Learners, app: Defined, hook: Webhook
) -> None:
    """Alerts of an aborted and an open transaction stay unseen; a committed one behind the former comes."""
    writer = Producer({"bootstrap.servers": learners.servers, "transactional.id": f"{app.name}.t0"})
    still_open = Producer({"bootstrap.servers": learners.servers, "transactional.id": f"{app.name}.t1"})
    topic = f"{app.name}.alerts"
    with operating(learners, app.target, routes=[route(hook)]) as ops:
        for one in (writer, still_open):
            one.init_transactions(30)
        for name, shard in (("aborted", 0), ("committed", 0)):
            writer.begin_transaction()
            writer.produce(topic, alert(name), b"k", shard)
            writer.flush(10)  # the broker has it, whatever becomes of the transaction
            writer.commit_transaction() if name == "committed" else writer.abort_transaction()
        still_open.begin_transaction()
        still_open.produce(topic, alert("open", shard=1), b"k", 1)
        still_open.flush(10)
        until(hook.ids, "the committed alert comes")
        time.sleep(1.5)
        assert [told["id"] for told in ops.board(app.name)["alerts"]] == ["committed"]
        assert hook.ids() == ["committed"]
        still_open.commit_transaction(10)
        until(lambda: len(hook.ids()) == 2, "the other one comes once it is committed")
    assert set(table(learners.servers, f"{app.name}.ops", f"{app.name}-alerts")) == {"committed", "open"}


def test_a_learner_is_shown_and_found_again_after_a_restart(learners: Learners, app: Defined) -> None:
    """Statistics and receipts of a real learner stand on the board, also of an ops that starts afterwards."""
    learners.call.environment["STREAM_APP_OPS__SILENT_S"] = "1000"
    with learning(learners, app.target), operating(learners, app.target) as ops:
        produce(learners, app, 200, int(time.time() * 1000) - 300_000)
        shards = until(lambda: whole(ops, app), "both shards have told their statistics")
        assert {told["serving"] for told in shards} == {"champion v1"}
        models = until(lambda: len(found := ops.board(app.name)["models"]) == 2 and found, "both receipts")
        assert ops.end() == 0
    with operating(learners, app.target) as ops:
        again = ops.board(app.name)
        assert [told["shard"] for told in again["summary"]] == [0, 1]
        assert again["models"] == models
        assert again["series"]["far"]["t"]


def whole(ops: Ops, app: Defined) -> list[dict[str, Any]] | None:
    """The summary once both shards are in it, each with a score."""
    told: list[dict[str, Any]] = ops.board(app.name)["summary"]
    return told if len(told) == 2 and all(one["score"] for one in told) else None


def test_what_cannot_be_taken_is_a_dead_letter_and_the_next_one_comes(
    learners: Learners, app: Defined, hook: Webhook
) -> None:
    """Rubbish in three topics gets three letters with place and reason, a letter of ours none; all go on."""
    with operating(learners, app.target, routes=[route(hook)]) as ops:
        write(
            learners.servers, f"{app.name}.alerts", [b"rubbish", alert("good")], 1, headers=[("mine", b"1")]
        )
        write(learners.servers, f"{app.name}.stats", [b'{"v": 2}'])
        write(learners.servers, f"{app.name}.models", [b"[]"])
        until(lambda: hook.ids() == ["good"], "the good alert comes")
        letters = until(lambda: len(found := ops.board(app.name)["letters"]) == 3 and found, "three letters")
        assert {told["topic"].split(".")[1] for told in letters} == {"alerts", "stats", "models"}
        assert {(told["reason"], told["stage"]) for told in letters} == {("malformed", "ops")}
        metrics = ops.get("/metrics").text
        assert f'agent_failures_total{{app="{app.name}",topic="{app.name}.alerts"}} 1.0' in metrics
    (letter,) = [
        told
        for told in learners.call("consume", app.target, "dead-letters", "--json").lines()
        if told["partition"] == 1
    ]
    assert letter["headers"]["mine"] == "1"


def test_the_webhook_gets_a_signature_and_a_key_to_tell_repeats_by(
    learners: Learners, app: Defined, hook: Webhook
) -> None:
    """One alert has its id as key; the signature is over timestamp and body."""
    secret = "a secret that both sides know"
    with operating(learners, app.target, routes=[route(hook, secret=secret)]):
        write(learners.servers, f"{app.name}.alerts", [alert("one"), alert("one")])
        until(lambda: hook.ids() == ["one"], "it comes")
    headers, raw = hook.headers[0], hook.raw[0]
    assert headers["Idempotency-Key"] == "one"
    signed = hmac.new(
        secret.encode(), headers["X-Stream-App-Timestamp"].encode() + b"." + raw, sha256
    ).hexdigest()
    assert headers["X-Stream-App-Signature"] == f"sha256={signed}"


def test_an_alert_that_a_receiver_refuses_goes_to_another_and_delays_none(
    learners: Learners, app: Defined, hook: Webhook
) -> None:
    """Its id is no header and its body is refused with 400: others come, and the other route has it."""
    hook.refuses = b"poison"
    with webhook() as other:
        routes = [route(hook, types="[!d]*"), route(other, name="équipe", types="delivery-*")]
        with operating(learners, app.target, routes=routes, silent_s=1_000) as ops:
            alerts: list[bytes | None] = [alert("poison", "swap"), alert("équipe", "swap")]
            alerts.append(alert("news", "shard-halted"))
            write(learners.servers, f"{app.name}.alerts", alerts)
            until(lambda: {"équipe", "news"} <= set(hook.ids()), "the others come")
            until(lambda: "poison" in other.ids(), "the other route has it")
            metrics = ops.get("/metrics").text
            assert 'ops_undelivered_alerts_total{route="hook"} 1.0' in metrics
            assert 'outcome="refused",route="hook"' in metrics
            until(
                lambda: "hook could not deliver it, équipe" in shown(ops.board(app.name)).values(),
                "it is shown",
            )
            assert ops.end() == 0
    kept = table(learners.servers, f"{app.name}.ops", f"{app.name}-alerts")
    assert kept["poison"]["routes"] == {"hook": "refused", "équipe": "sent"}
    (about,) = [told for told in other.bodies if told["alerts"][0]["type"] == "delivery-failing"]
    assert "gave up 1 alert" in about["title"]


def shown(board: dict[str, Any]) -> dict[str, str]:
    """What became of each alert, as the page says it."""
    return {told["id"]: told["delivered"] for told in board["alerts"]}


def test_a_silence_by_order_holds_for_its_alerts_and_outlives_the_process(
    learners: Learners, app: Defined, hook: Webhook
) -> None:
    """Only with a token of admin; after a kill it is there; the alerts it names are shown and not sent."""
    admin = {"Authorization": f"Bearer {ADMIN}"}
    body = {"types": "drift", "until": "2100-01-01T00:00:00Z", "reason": "we know"}
    settings: dict[str, Any] = {"routes": [route(hook)], "tokens_admin": ADMIN}
    with operating(learners, app.target, **settings) as ops:
        assert ops.http.post("/v1/silences", json=body).status_code == 401
        assert ops.http.post("/v1/silences", json=body, headers=admin).status_code == 200
        ops.kill()
    with operating(learners, app.target, **settings) as ops:
        ops.http.headers.update(admin)
        (silence,) = ops.get("/v1/silences").json()["silences"]
        write(learners.servers, f"{app.name}.alerts", [alert("quiet"), alert("loud", "swap")])
        until(lambda: hook.ids() == ["loud"], "the other kind comes")
        until(
            lambda: (
                {told["id"]: told["delivered"] for told in ops.board(app.name)["alerts"]}
                == {"quiet": "silenced for hook", "loud": "hook"}
            ),
            "both are shown",
        )
        assert ops.http.delete(f"/v1/silences/{silence['id']}").status_code == 200
        write(learners.servers, f"{app.name}.alerts", [alert("again")])
        until(lambda: "again" in hook.ids(), "once it is ended, alerts come")


def test_a_shard_that_falls_silent_is_an_alert_and_its_return_ends_it(
    learners: Learners, app: Defined, hook: Webhook
) -> None:
    """No statistics for `silent_s`: one alert, also after a restart; statistics again: one that ends it."""
    settings: dict[str, Any] = {"routes": [route(hook)], "silent_s": 2}
    now_ms = int(time.time() * 1000)
    with learning(learners, app.target):
        produce(learners, app, 50, now_ms - 300_000)
        until(
            lambda: {told["shard"] for told in learners.committed(app, "stats")} == {0, 1},
            "both shards have told statistics",
        )
    with operating(learners, app.target, **settings) as ops:
        until(lambda: len(hook.ids()) == 2, "both shards are missed")
        assert ops.end() == 0  # killed, it might tell them again
    with operating(learners, app.target, **settings) as ops:
        time.sleep(3.5)
        missed = set(hook.ids())
        assert len(hook.ids()) == len(missed) == 2
        with learning(learners, app.target):
            produce(learners, app, 50, now_ms - 100_000)
            until(lambda: missed <= ended(hook), "both are back")
        assert ops.end() == 0


def ended(hook: Webhook) -> set[Any]:
    """The ids of silences that are over, as they were told; one may fall silent anew meanwhile."""
    alerts = [one for body in list(hook.bodies) for one in body["alerts"]]
    return {one["evidence"]["ended"] for one in alerts if "ended" in one["evidence"]}


def test_a_second_process_stands_by_and_takes_over(learners: Learners, app: Defined, hook: Webhook) -> None:
    """It is not ready while the first lives; killed, the first leaves it everything, and no alert is lost."""
    settings: dict[str, Any] = {"routes": [route(hook)]}
    with operating(learners, app.target, **settings) as first:
        write(learners.servers, f"{app.name}.alerts", [alert("before")])
        until(lambda: hook.ids() == ["before"], "the first one tells")
        second = Ops(learners, app.target, **settings)
        try:
            until(lambda: second.get("/livez").status_code == 200, "the second is up")
            until(lambda: first.get("/readyz").status_code == 200, "the first serves again")
            assert second.get("/readyz").status_code == 503
            first.kill()
            write(learners.servers, f"{app.name}.alerts", [alert("after")])
            second.ready()
            # The first, killed before it has noted what it told, leaves that to be told again.
            until(lambda: second.alive() and "after" in hook.ids(), "the second one tells what came since")
            assert set(hook.ids()) == {"before", "after"}
            shown = {told["id"] for told in second.board(app.name)["alerts"]}
            assert shown == {"before", "after"}
            assert second.end() == 0
        finally:
            second.kill()


def test_several_applications_share_one_process(learners: Learners, hook: Webhook) -> None:
    """Each has its board, and a route can be for one of them alone."""
    apps = defined(learners, {"one": ("binary", 1), "two": ("regression", 2)})
    one, two = apps["one"], apps["two"]
    with operating(learners, one.target, two.target, routes=[route(hook, apps=two.name)]) as ops:
        for app in (one, two):
            write(learners.servers, f"{app.name}.alerts", [alert(f"of {app.name}")])
        until(lambda: hook.ids() == [f"of {two.name}"], "the route of the second application tells")
        shown = {app.name: ops.board(app.name)["alerts"][0]["delivered"] for app in (one, two)}
        assert shown == {one.name: "no route means it", two.name: "hook"}


def test_only_the_loopback_is_listened_on(learners: Learners, app: Defined) -> None:
    """Faust would bind its own web server to every address."""
    import psutil

    with operating(learners, app.target) as ops:
        listening = [
            found.laddr.ip
            for found in psutil.Process(ops.process.pid).net_connections("inet")
            if found.status == psutil.CONN_LISTEN
        ]
    assert listening == ["127.0.0.1"]


def test_it_ends_soon_and_well_after_sigterm(learners: Learners, app: Defined) -> None:
    """Exit code 0 within 5 s, while a page follows the board."""
    with (
        operating(learners, app.target) as ops,
        ops.http.stream("GET", f"/v1/board/{app.name}/events") as events,
    ):
        lines = events.iter_lines()  # held: the end of it would close the page
        assert next(lines)
        assert f'board_subscribers{{app="{app.name}"}} 1.0' in httpx.get(f"{ops.address}/metrics").text
        ops.process.terminate()
        assert ops.process.wait(5) == 0


def test_faust_runs_it_as_a_worker_of_its_own(learners: Learners, app: Defined, hook: Webhook) -> None:
    """`faust -A stream_app.ops.worker worker --without-web` routes alerts; SIGTERM ends it well."""
    learners.call.environment |= {
        "STREAM_APP_TARGET": app.target,
        "STREAM_APP_OPS__ROUTES": as_text([route(hook)]),
    }
    worker = ("-A", "stream_app.ops.worker", "worker", "--without-web")
    process = learners.spawn_cold("faust", *worker, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        write(learners.servers, f"{app.name}.alerts", [alert("one")])
        until(lambda: process.poll() is None and hook.ids(), "the alert comes")
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(10)


def test_without_its_topics_it_refuses_to_start(learners: Learners) -> None:
    """The missing topic and the command that makes it are named."""
    process = learners.spawn("stream_app", "ops", learners.call.target, "--port", "0", stderr=subprocess.PIPE)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 3
    assert f"there is no topic {learners.call.name}.alerts".encode() in told
    assert b"topics create" in told
