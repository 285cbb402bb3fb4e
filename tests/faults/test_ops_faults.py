"""Ops under fire: killed at random, its webhook away, a storm. No alert is lost, and the tables are right."""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_app.embedded.services import Endpoints
from tests.faults.ops_judge import bare, expected, subset
from tests.integration.learners import Defined, Learners
from tests.integration.operating import (
    Ops,
    Webhook,
    alert,
    operating,
    route,
    table,
    until,
    webhook,
    write,
)
from tests.integration.serving import defined, learning, produce
from tests.lengths import length

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("FAULTS_OPS_KILLS", length(1, 4, 20)))
SEED = int(os.environ.get("FAULTS_SEED", str(random.SystemRandom().randrange(1 << 30))))
DOWN_S = float(os.environ.get("FAULTS_OPS_DOWN_S", length(2, 5, 30)))
STORM = length(2_000, 10_000, 100_000)
KEPT = {"keep_alerts": 60, "keep_letters": 20}
TABLES = ("stats", "history", "alerts", "models", "letters")
TOPICS = ("events", "labels", "commands", "predictions", "alerts", "models", "stats", "journal")


@pytest.fixture
def learners(services: Endpoints, tmp_path: Path) -> Learners:
    """Applications on the session's servers."""
    return Learners(services, tmp_path)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """A webhook that says yes."""
    with webhook() as server:
        yield server


def rows(learners: Learners, app: Defined) -> dict[str, list[tuple[int, int, bytes]]]:
    """Every record of the application that ops only reads, for a comparison."""
    from tests.faults.ops_judge import committed

    return {
        name: [
            (record.partition, record.offset, record.value)
            for record in committed(learners.servers, f"{app.name}.{name}")
        ]
        for name in TOPICS
    }


def tables(learners: Learners, app: Defined, group: str) -> dict[str, dict[str, Any]]:
    """The application's tables by their changelogs."""
    return {name: table(learners.servers, group, f"{app.name}-{name}") for name in TABLES}


def differences(told: dict[str, dict[str, Any]], kept: dict[str, dict[str, Any]]) -> list[str]:
    """Where the tables are not what the topics say."""
    found = []
    for name in TABLES:
        found += [f"{name}: {key} only here" for key in set(kept[name]) - set(told[name])]
        found += [f"{name}: {key} is missing" for key in set(told[name]) - set(kept[name])]
        found += [
            f"{name}: {key} is {kept[name][key]}, told was {value}"
            for key, value in told[name].items()
            if key in kept[name] and not subset(value, kept[name][key])
        ]
    return found


@pytest.mark.timeout(300 + 40 * KILLS)
def test_killed_at_random_it_loses_no_alert_and_its_tables_are_right(
    learners: Learners, hook: Webhook
) -> None:
    """SIGKILL while statistics, alerts and rubbish flow: each alert comes, repeats under their id; the tables
    equal those of an ops that was never killed, and what a judge tells from the topics; no topic was touched.
    """
    sys.stderr.write(f"FAULTS_SEED={SEED}\n")
    dice = random.Random(SEED)
    app = defined(learners, {"app": ("binary", 2)})["app"]
    killed = f"{app.name}.killed"
    settings: dict[str, Any] = {"routes": [route(hook)], "silent_s": 1_000, **KEPT}
    names: list[str] = []
    with learning(learners, app.target):
        produce(learners, app, 300, int(time.time() * 1000) - 600_000)
        for turn in range(KILLS + 1):
            ops = Ops(learners, app.target, group=killed, **settings)
            try:
                if dice.random() < 0.5 or turn == KILLS:
                    ops.ready()  # else it dies while it starts or recovers
                batch = [f"{turn}-{n}" for n in range(40)]
                names += batch
                for shard in (0, 1):
                    values = [
                        alert(name, f"kind{n % 3}", shard=shard)
                        for n, name in enumerate(batch)
                        if n % 2 == shard
                    ]
                    write(learners.servers, f"{app.name}.alerts", [*values, b"rubbish"], shard)
                produce(learners, app, 100, int(time.time() * 1000) - 300_000 + 10_000 * turn)
                if turn == KILLS:
                    until(lambda: len(set(hook.ids())) == 40 * (KILLS + 1), "every alert comes")
                else:
                    time.sleep(dice.random() * 4)
            except BaseException:
                ops.kill()
                raise
            if turn < KILLS:
                ops.kill()
    written = rows(learners, app)
    try:
        try:
            until(lambda: settled(learners, app, killed), "the killed one has caught up")
        except pytest.fail.Exception:
            told = expected(learners.servers, app.name, **KEPT)
            assert differences(told, bare(tables(learners, app, killed))) == []
        assert ops.end() == 0
    finally:
        ops.kill()
    repeats = Counter(hook.ids())
    assert set(repeats) == set(names)
    told = expected(learners.servers, app.name, **KEPT)
    kept = bare(tables(learners, app, killed))
    assert differences(told, kept) == []
    spared = f"{app.name}.spared"
    with operating(learners, app.target, group=spared, **{**settings, "routes": []}):
        until(lambda: settled(learners, app, spared), "the other one has read all")
    assert rows(learners, app) == written
    other = bare(tables(learners, app, spared))
    for name in set(TABLES) - {"letters"}:  # it wrote letters of its own about the rubbish
        assert kept[name] == other[name]


def settled(learners: Learners, app: Defined, group: str) -> bool:
    """Whether the tables have all that the topics hold."""
    told = expected(learners.servers, app.name, **KEPT)
    return differences(told, bare(tables(learners, app, group))) == []


@pytest.mark.timeout(300 + 2 * DOWN_S)
def test_while_the_webhook_is_away_alerts_wait_and_then_all_come(learners: Learners) -> None:
    """It answers 500, and ops is killed meanwhile. Each alert comes, and one about the route."""
    app = defined(learners, {"app": ("binary", 1)})["app"]
    away = Webhook()
    away.status = 500
    with webhook() as other:
        routes = [route(away), route(other, name="other", types="delivery-*")]
        settings: dict[str, Any] = {"routes": routes, "failing_s": min(2.0, DOWN_S / 2), "silent_s": 1_000}
        names = [f"a{n}" for n in range(50)]
        with operating(learners, app.target, **settings) as ops:
            write(learners.servers, f"{app.name}.alerts", [alert(name) for name in names[:25]])
            until(lambda: away.refused, "it is asked")
            time.sleep(DOWN_S / 2)
            ops.kill()
        try:
            with operating(learners, app.target, **settings) as ops:
                write(learners.servers, f"{app.name}.alerts", [alert(name) for name in names[25:]])
                time.sleep(DOWN_S / 2)
                until(other.ids, "another route tells that this one fails")
                assert "outbox_alerts" in ops.get("/metrics").text
                assert away.ids() == []
                away.status = 200
                until(lambda: set(away.ids()) >= set(names), "all alerts come")
                shown = {told["id"]: told["delivered"] for told in ops.board(app.name)["alerts"]}
                until(lambda: set(names) <= set(shown), "all are shown")
        finally:
            away.close()
    assert all(body["alerts"][0]["type"] == "delivery-failing" for body in other.bodies)


def test_a_storm_is_few_notifications_and_the_rare_one_is_among_them(
    learners: Learners, hook: Webhook
) -> None:
    """Thousands of alerts, one of a rare kind: no more than the rate; summaries count the rest."""
    app = defined(learners, {"app": ("binary", 2)})["app"]
    rate, rate_s, kinds = 2, 5.0, 4
    quick = route(hook, wait_s=0.5, interval_s=1, rate=rate, rate_s=rate_s)
    with operating(learners, app.target, routes=[quick], silent_s=10_000) as ops:
        began_s = time.monotonic()
        values: list[bytes | None] = [alert(f"s{n}", f"kind{n % 3}") for n in range(STORM)]
        values[STORM // 4] = alert("rare", "rare")
        # The second half meets a spent rate. All at once could fit into one notification of each kind.
        write(learners.servers, f"{app.name}.alerts", values[: STORM // 2])
        until(lambda: "rare" in hook.ids(), "the rare one comes")
        write(learners.servers, f"{app.name}.alerts", values[STORM // 2 :])
        until(lambda: len(set(hook.ids())) == STORM, "every alert is named")
        windows = (time.monotonic() - began_s) / rate_s + 1
        assert len(hook.bodies) <= rate * windows + kinds
        assert any(body["summary"] and body["counts"] for body in hook.bodies)
        assert sum(kind["count"] for body in hook.bodies for kind in body["counts"]) == STORM
        metrics = ops.get("/metrics").text
        assert f'alerts_total{{app="{app.name}",severity="warning",type="rare"}} 1.0' in metrics
