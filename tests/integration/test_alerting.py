"""From a concept that turns over to the person on call: learner → Prometheus → Alertmanager → webhook."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from stream_app.adapters.metrics_table import PROCESS, TABLE
from stream_app.adapters.serving_metrics import SERVING
from stream_app.cli.demo.drift import TURN, produce, rows
from stream_app.client import EventProducer
from stream_app.embedded.ports import free_ports
from stream_app.embedded.services import Endpoints
from stream_app.ops.channels import Alertmanager
from stream_app.ops.notification import ENDED, Item, notification
from stream_app.settings.ops import Route
from tests.debian import binary
from tests.integration.learners import Learners
from tests.integration.monitoring import DEPLOY, Monitoring, monitoring
from tests.integration.serving import Serves, learning, serving, until
from topics.records import Alert

DEFINITION = """
from river import naive_bayes, tree
from stream_app import features as f
from stream_app.application import Application, Snapshots
app = Application(
    name={name!r}, task="binary", features=[f.count(window="1h")],
    champion=lambda seed: tree.HoeffdingTreeClassifier(),
    challengers={{"bayes": lambda seed: naive_bayes.GaussianNB()}},
    snapshot=Snapshots(max_cost=1.0, max_recovery="200ms"),
)
"""
AROUND = 1_000  # events before the concept turns over, and as many after it
BOARDS = sorted((DEPLOY / "grafana").glob("*.json"))


class Scene(msgspec.Struct):
    """An application that learned a stream, seen by Prometheus, and the pages that it was scraped from."""

    app: str
    monitoring: Monitoring
    learner: str
    predictor: str


@pytest.fixture(scope="module")
def scene(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Everything runs, and the stream has been learned."""
    directory: Path = tmp_path_factory.mktemp("alerting")
    learners = Learners(services, directory)
    (port,) = free_ports(0)
    learners.call.environment["STREAM_APP_LEARNER__METRICS_PORT"] = str(port)
    name = f"{learners.call.name}-alerting"
    target = f"{directory}/turning.py:app"
    (directory / "turning.py").write_text(DEFINITION.format(name=name))
    assert learners.call("topics", "create", target).code == 0
    with learning(learners, target), serving(learners, target) as (server,):
        with EventProducer(name, learners.servers) as producer:
            waits = producer.send("late", {"0": 0.5, "1": 0.5, "2": None}, "late")
            # A producer of another library: ours would refuse it.
            bad = b'{"event_id":"bad","features":{"0":1e300}}'
            producer.producer.send(f"{name}.events", bad, b"bad")
            producer.label("late", waits, True)
        page = f"127.0.0.1:{port}"
        produce(name, learners.servers, rows()[TURN - AROUND : TURN + AROUND])
        ask(server)
        targets = {"stream-app-learner": page, "stream-app-predictor": server.address.removeprefix("http://")}
        with monitoring(directory, targets) as found:
            learned = (
                f'sum(stream_app_records_total{{app="{name}",outcome="labels_learned"}}) == {2 * AROUND + 1}'
            )
            until(lambda: found.query(learned), "the stream is learned and scraped")
            yield Scene(name, found, f"http://{page}/metrics", f"{server.address}/metrics")


def ask(server: Serves) -> None:
    """Requests of both kinds: answered, and not."""
    server.ready()
    server.post("/v1/predict", key="entity-1", features={"0": 0.5, "1": 0.5})
    assert server.http.post("/v1/predict", json={}).status_code == 422


def test_a_turned_concept_reaches_the_person_on_call(scene: Scene) -> None:
    """The drift of the champion's loss, with our labels, our words and the section to read."""

    def arrived() -> list[dict[str, Any]]:
        told = list(scene.monitoring.webhook.alerts)
        wanted = {"alertname": "StreamAppLossDrift", "name": "champion"}  # others' losses drift as well
        return [one for one in told if one["labels"].items() >= wanted.items()]

    alert = until(arrived, "the alert has arrived")[0]
    expected = {"app": scene.app, "shard": "0", "signal": "loss", "severity": "warning"}
    assert alert["labels"].items() >= expected.items()
    assert alert["status"] == "firing"
    assert alert["labels"]["detector"] in alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == "docs/runbooks.md#drift"


def test_what_operations_tell_alertmanager_stands_there_until_its_end(scene: Scene) -> None:
    """With our labels and words; the alert that ends it resolves it, and a repeat is no second one."""
    where = scene.monitoring.alertmanager
    name, now_ms = f"{scene.app}/0/learner-silent/7", int(time.time() * 1000)
    began = Alert(name, "learner-silent", "warning", 0, now_ms, "no statistics", {}, "docs/runbooks.md#x")
    over = Alert(f"{name}/ended", "learner-silent", "warning", 0, now_ms, "they come again", {ENDED: name})

    async def tell(*alerts: Alert) -> None:
        channel = Alertmanager(Route(channel="alertmanager", url=SecretStr(where)))
        for one in alerts:
            await channel.send(notification("route", [Item(scene.app, one)], summary=False), now_ms)
        await channel.close()

    def stands() -> list[dict[str, Any]]:
        found = httpx.get(f"{where}/api/v2/alerts", params={"filter": f'app="{scene.app}"'}).json()
        return [one for one in found if one["labels"].get("alert_id") == name]

    asyncio.run(tell(began, began))
    (standing,) = stands()
    assert standing["labels"].items() >= {"alertname": "learner-silent", "severity": "warning"}.items()
    assert standing["annotations"] == {"message": "no statistics", "runbook": "docs/runbooks.md#x"}
    asyncio.run(tell(over))
    until(lambda: not stands(), "it is resolved")


def test_a_learner_exports_what_its_page_says(scene: Scene) -> None:
    """Every documented metric, with its labels and a number; and no other of ours."""
    declared = {name: set(labels) for name, _, labels in PROCESS}
    declared |= {metric.name: {"app", "shard", *metric.labels} for metric in TABLE}
    found = scrape(scene.learner)
    assert {name for name in found if name.startswith("stream_app_")} == set(declared)
    assert found == found | declared


def test_a_predictor_exports_what_its_page_says(scene: Scene) -> None:
    """Every documented metric; those with a number have their labels."""
    declared = {name: set(labels) for name, _, _, labels, _ in SERVING}
    found = scrape(scene.predictor)
    assert {name for name in found if name.startswith("stream_app_")} == set(declared)
    silent = {name for name, labels in found.items() if not labels}
    assert silent == {"stream_app_publications_refused"}
    assert {name: labels for name, labels in found.items() if labels}.items() <= declared.items()


def scrape(address: str) -> dict[str, set[str]]:
    """Families by name, with the labels of their samples but `le`."""
    families = text_string_to_metric_families(httpx.get(address, timeout=10.0).text)
    return {
        family.name: {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in families
        if not family.name.endswith("_created")  # the text format tells a counter's beginning so
    }


def test_prometheus_evaluates_every_rule(scene: Scene) -> None:
    """None ends with an error, and the golden signals have numbers."""
    groups = scene.monitoring.get("rules")["groups"]
    all_rules = [rule for group in groups for rule in group["rules"]]
    assert {(rule["name"], rule["health"], rule.get("lastError")) for rule in all_rules} == {
        (rule["name"], "ok", None) for rule in all_rules
    }
    for recorded in (
        "stream_app:events:rate5m",
        "stream_app:transaction_seconds:p99_5m",
        "stream_app:busy:ratio5m",
        "stream_app:champion_age:seconds",
        "stream_app:predict_seconds:p99_5m",
        "stream_app:shards_live:count",
    ):
        until(partial(scene.monitoring.query, recorded), f"{recorded} has a number")


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_prometheus_answers_every_panel(board: Path, scene: Scene) -> None:
    """Each query is one, and gives at least one series of an application that runs."""
    for panel in json.loads(board.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"].replace("$app", scene.app).replace("$__rate_interval", "1m")
            until(partial(scene.monitoring.query, expr), f"{panel['title']}: {expr}")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("promtool", ("check", "config", "prometheus/prometheus.yml")),
        ("promtool", ("test", "rules", "prometheus/rules_test.yml")),
        ("amtool", ("check-config", "alertmanager/alertmanager.yml")),
    ],
)
def test_the_examples_pass_their_own_tools(program: str, arguments: tuple[str, ...]) -> None:
    """The rules do what their tests say, and the configurations are ones."""
    package = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}[program]
    done = subprocess.run(
        [binary(program, package), *arguments],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
