"""What becomes of a notification that a channel refuses or cannot deliver now."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from stream_app.ops.alert_store import AlertStore, Tables
from stream_app.ops.channels import Undeliverable
from stream_app.ops.dashboard import DashboardModel
from stream_app.ops.delivery import Delivery
from stream_app.ops.intake import AlertIntake
from stream_app.ops.notification import Notification
from stream_app.ops.routing import RouteQueue
from stream_app.settings.ops import Route
from topics.records import Alert

APP = "shop"


class Answers:
    """A channel that raises what it is given for notifications that hold an alert of these ids."""

    def __init__(self, error: Exception | None = None, ids: str = "") -> None:
        self.error, self.ids = error, ids.split()
        self.got: list[str] = []

    async def send(self, notification: Notification, now_ms: int) -> None:
        names = [item.alert.alert_id for item in notification.items]
        if self.error is not None and (not self.ids or set(names) & set(self.ids)):
            raise self.error
        self.got += names

    async def close(self) -> None:
        """Nothing is open."""


class Tally:
    """Counts calls by name and arguments; gauges are passed over."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[Any, ...]] = Counter()

    def alert(self, app: str, kind: str, severity: str) -> None: ...

    def notified(self, channel: str, route: str, outcome: str) -> None:
        self.counted[route, outcome] += 1

    def held_back(self, route: str, n: int) -> None: ...

    def undelivered(self, route: str, n: int) -> None:
        self.counted[route, "given up"] += n

    def outbox(self, route: str, waiting: int, oldest_ms: int | None) -> None: ...


class Process:
    """Routes with channels of these answers over one application's tables; no Faust, no clock."""

    def __init__(self, tables: Tables | None = None, **channels: tuple[Answers, dict[str, Any]]) -> None:
        self.now_ms, self.counts = 1_000, Tally()
        routes = [
            Route.model_validate({"name": name, "channel": "log", "wait_s": 0, "interval_s": 0} | how)
            for name, (_, how) in channels.items()
        ]
        self.queues = [RouteQueue(route, lambda _item, _now: False) for route in routes]
        self.tables = tables or Tables({}, {}, {}, {}, {})
        store = AlertStore(self.tables, "accuracy", minutes=5, alerts=50, letters=5)
        self.intake = AlertIntake(DashboardModel(APP, 1, "binary"), store, self.queues, self.counts)
        self.deliveries = [
            Delivery(queue, answers, {APP: self.intake}, self.counts, lambda: self.now_ms, self.written, 60)
            for queue, (answers, _) in zip(self.queues, channels.values(), strict=True)
        ]

    async def written(self) -> None:
        """A dictionary is."""

    def take(self, name: str, kind: str = "drift") -> None:
        self.intake.accept(Alert(name, kind, "critical", 0, self.now_ms, name, {}), self.now_ms)

    def run(self, turns: int = 40) -> None:
        """Carry out what is planned, in turns, each a minute after the one before."""

        async def turn() -> None:
            for delivery in self.deliveries:
                delivery.active.set()
                while (told := delivery.queue.plan(self.now_ms).notification) is not None:
                    await delivery.attempt(told)

        for _ in range(turns):
            asyncio.run(turn())
            self.now_ms += 61_000

    def states(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.tables.alerts[name]["routes"]
        return found

    def complaints(self) -> list[str]:
        told = [entry["alert"] for entry in self.tables.alerts.values()]
        return [alert["message"] for alert in told if alert["type"] == "delivery-failing"]


REFUSES = Undeliverable("HTTP 400", splits=True)


def test_a_refused_alert_leaves_the_queue_is_noted_counted_and_sent_on_another_route() -> None:
    """The other route means no such alert by itself; what comes after the refused one is delivered."""
    pager, team = Answers(REFUSES, "bad"), Answers()
    process = Process(pager=(pager, {}), team=(team, {"types": "nothing"}))
    process.take("bad")
    process.take("news", "shard-halted")
    process.run()
    assert "news" in pager.got
    assert "bad" not in pager.got
    assert team.got == ["bad"]
    assert process.states("bad") == {"pager": "refused", "team": "sent"}
    assert process.counts.counted["pager", "given up"] == 1
    assert process.counts.counted["pager", "refused"] == 1
    (shown,) = [told for told in process.intake.board.standing_alerts() if told["id"] == "bad"]
    assert shown["delivered"] == "pager could not deliver it, team"
    assert process.complaints() == ["route pager gave up 1 alert that its channel refuses (HTTP 400)"]


def test_an_alert_that_another_route_has_is_not_sent_there_again() -> None:
    """Both routes mean it: one refuses, the other has it once, and a third one is not asked."""
    team, spare = Answers(), Answers()
    process = Process(
        pager=(Answers(REFUSES, "bad"), {}), team=(team, {}), spare=(spare, {"types": "nothing"})
    )
    process.take("bad")
    process.run()
    assert team.got.count("bad") == 1
    assert spare.got == []


def test_alerts_that_every_route_refuses_go_round_once() -> None:
    """Each route is asked once for each alert, and one alert about each route is raised; then it is quiet."""
    how = {"types": "drift*"}
    process = Process(one=(Answers(REFUSES), how), two=(Answers(REFUSES), how), three=(Answers(REFUSES), how))
    for n in range(5):
        process.take(f"a{n}")
    process.run()
    for n in range(5):
        assert process.states(f"a{n}") == {"one": "refused", "two": "refused", "three": "refused"}
    assert len(process.complaints()) == 3
    assert not any(queue.waiting() for queue in process.queues)
    before = process.counts.counted.total()
    process.run()
    assert process.counts.counted.total() == before


def test_a_route_of_another_application_gets_no_alert_of_this_one() -> None:
    """Its `apps` says whose alerts its people may read."""
    other = Answers()
    process = Process(pager=(Answers(REFUSES, "bad"), {}), other=(other, {"apps": "billing"}))
    process.take("bad")
    process.run()
    assert other.got == []
    assert process.states("bad") == {"pager": "refused"}


def test_a_restart_finds_what_was_refused_and_what_the_other_route_has_to_send() -> None:
    """Both are one change of the table; the refused alert is never asked for again."""
    pager = Answers(REFUSES, "bad")
    process = Process(pager=(pager, {}), team=(Answers(ConnectionError()), {"types": "nothing"}))
    process.take("bad")
    process.run()
    assert process.states("bad") == {"pager": "refused", "team": "due"}
    team = Answers()
    later = Process(process.tables, pager=(pager, {}), team=(team, {"types": "nothing"}))
    later.intake.restore(later.now_ms)
    assert ("shop", "drift") not in later.queues[0].kinds
    later.run()
    assert "bad" in team.got
    assert later.counts.counted["pager", "refused"] == 0


@pytest.mark.parametrize("error", [ConnectionError(), TimeoutError(), RuntimeError()])
def test_what_may_pass_stays_in_the_queue(error: Exception) -> None:
    """It is tried again, given to no other route, and after a minute the route is an alert itself."""
    pager, team = Answers(error), Answers()
    process = Process(pager=(pager, {}), team=(team, {"types": "delivery-*"}))
    process.take("a")
    process.run(5)
    assert process.states("a") == {"pager": "due"}
    assert len(process.complaints()) == 1
    assert len(team.got) == 1
    pager.error = None
    process.run()
    assert process.states("a") == {"pager": "sent"}


def test_a_group_that_fails_alone_is_an_alert_too() -> None:
    """Others get through meanwhile, which does not hide it."""
    pager = Answers(ConnectionError(), "bad")
    process = Process(pager=(pager, {"group_by": ["type"]}))
    process.take("bad")
    for n in range(5):
        process.take(f"a{n}", "swap")
        process.run(1)
    assert {f"a{n}" for n in range(5)} <= {*pager.got}
    assert len(process.complaints()) == 1


@pytest.mark.parametrize("error", [ConnectionError(), REFUSES])
def test_what_is_not_delivered_about_a_route_is_no_alert_itself(error: Exception) -> None:
    """Two routes fail: one alert, about the one with the learner's alert; none about that alert."""
    one, two = (Answers(error), {"types": "drift"}), (Answers(error), {"types": "delivery-*"})
    process = Process(one=one, spare=(Answers(), {"types": "nothing"}), two=two)
    process.take("a")
    process.run(200)
    assert len(process.complaints()) == 1
