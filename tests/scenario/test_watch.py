"""What a shard tells of its inputs: drift, once for a while; labels that do not come; records it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from drift.detectors import Detect
from drift.verdicts import State
from stream_app.application import Labels
from stream_app.flow.detect import DROUGHT_MS, POISON_BLOCK
from stream_app.state.vigil import COOLDOWN
from tests.scenario.shard_driver import ShardDriver, application
from tests.scenario.swap_driver import SwapDriver, definition, wrong

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def told(shard: ShardDriver, kind: str) -> list[dict[str, Any]]:
    """The alerts of one type so far."""
    return [alert for alert in shard.written("alerts") if alert["type"] == kind]


def test_the_same_alert_is_held_back_for_a_while_and_counted() -> None:
    """Of alarms in quick succession the first is told; the next that is told says how many were not."""
    shard = SwapDriver(turn=1 << 30)
    shard.script([100, 200, 300, 100 + COOLDOWN])
    shard.feed(200 + COOLDOWN)
    first, second = (alert["evidence"] for alert in shard.alerts("drift"))
    assert "held_back" not in first
    assert second["held_back"] == 2
    assert shard.counters.drifts == 4


def test_alerts_about_others_are_not_held_back() -> None:
    """A drift of one feature does not hide that of another one."""
    shard = ShardDriver(application(drift=[Detect("adwin", "features")]))
    for n in range(4_000):
        row = {"x": float(n >= 2_000), "y": float(n >= 2_200), "z": 0.5}
        assert shard.event(f"e{n}", row, label=bool(n % 2)) is None
    alerts = told(shard, "drift")
    assert [(alert["evidence"]["name"], alert["severity"]) for alert in alerts] == [
        ("x", "info"),
        ("y", "info"),
    ]
    assert {name for name, _ in alerts[0]["evidence"]["features"]} == {"x", "y", "z"}


def test_swaps_and_rollbacks_are_never_held_back() -> None:
    """Four orders within a moment are four alerts."""
    shard = SwapDriver(definition(challengers={"worse": wrong}), turn=1 << 30)
    shard.feed(5)
    for n in range(2):
        shard.order("promote", f"p{n}", slot="worse")
        shard.order("rollback", f"r{n}")
    assert (len(shard.alerts("swap")), len(shard.alerts("rollback"))) == (2, 2)


def test_a_warning_is_no_alert() -> None:
    """It starts candidates at most."""
    shard = SwapDriver(turn=1 << 30)
    shard.script([50], State.WARNING)
    shard.feed(60)
    assert not shard.alerts("drift")
    assert shard.receipts("candidate")


def events(shard: ShardDriver, n: int, every_ms: int, *, label_after: int | None = None) -> None:
    """Events at a steady pace; each has its label so many events later, or none."""
    first = shard.counters.events
    for i in range(first, first + n):
        assert shard.event(f"e{i}", {"x": 1.0}) is None
        if label_after is not None and i - label_after in shard_rows(shard):
            assert shard.label(f"e{i - label_after}", bool(i % 2)) is None
        shard.time_ms += every_ms


def shard_rows(shard: ShardDriver) -> set[int]:
    """The numbers of the events that wait for a label."""
    return {int(event_id[1:]) for event_id in shard.state.pending.items}


def test_labels_that_stop_are_a_drought_in_log_time() -> None:
    """None while they come; a minute and five usual delays after the last one there is an alert."""
    shard = ShardDriver(application(labels=Labels(horizon="1h")))
    events(shard, 300, 1_000, label_after=1)
    assert not told(shard, "label-drought")
    last = shard.state.vigil.last_label_ms
    events(shard, 200, 1_000)
    (alert,) = told(shard, "label-drought")
    assert alert["severity"] == "critical"
    assert DROUGHT_MS < alert["evidence"]["silent_ms"] == alert["time_ms"] - last < DROUGHT_MS + 150_000
    assert alert["evidence"]["pending"] > 50


def test_labels_that_come_seldom_are_no_drought() -> None:
    """Silence counts from the oldest row that waits: where nothing waits, nothing is missing."""
    shard = ShardDriver(application(labels=Labels(horizon="1h")))
    for n in range(300):
        assert shard.event(f"e{n}", {"x": 1.0}) is None
        assert shard.label(f"e{n}", bool(n % 2)) is None
        shard.time_ms += HOUR_MS // 2
    assert not told(shard, "label-drought")


def test_a_drought_is_seen_though_labels_usually_take_half_the_horizon() -> None:
    """Five usual delays are then longer than any row waits: nine tenths of the horizon are enough."""
    shard = ShardDriver(application(labels=Labels(horizon="1h")))
    events(shard, 400, MINUTE_MS, label_after=30)
    assert shard.state.vigil.delay_ms > 20 * MINUTE_MS
    shard.state.vigil.quiet.clear()
    before = len(told(shard, "label-drought"))
    events(shard, 200, MINUTE_MS)
    assert len(told(shard, "label-drought")) == before + 1


def test_default_labels_do_not_hide_a_drought() -> None:
    """A row that expires with the default label has none that somebody sent: its time counts nowhere."""
    labels = Labels(horizon="10m", on_timeout="label", default=False)
    shard = ShardDriver(application(labels=labels, drift=[Detect("adwin", "label_delay")]))
    events(shard, 100, 1_000, label_after=1)
    last, delay_ms = shard.state.vigil.last_label_ms, shard.state.vigil.delay_ms
    seen = shard.state.monitors.watching["label_delay", ""][0].seen
    events(shard, 900, 10_000)
    assert shard.counters.labels_expired > 500
    assert (shard.state.vigil.last_label_ms, shard.state.vigil.delay_ms) == (last, delay_ms)
    assert shard.state.monitors.watching["label_delay", ""][0].seen == seen
    assert told(shard, "label-drought")


@pytest.mark.parametrize(("bad", "alerts"), [(3, 0), (8, 1)])
def test_many_refused_records_are_told(bad: int, alerts: int) -> None:
    """Above 5 % of the newest thousand; below it is not."""
    shard = ShardDriver()
    for n in range(POISON_BLOCK + 100):
        broken = n % 100 < bad
        letter = shard.event(f"e{n}", {"x": None if broken else 1.0}, label=True)
        assert (letter is not None) == broken
    assert len(told(shard, "poison-rate")) == alerts
    for alert in told(shard, "poison-rate"):
        assert alert["evidence"]["share"] == pytest.approx(bad / 100, abs=0.005)
        assert sum(alert["evidence"]["reasons"].values()) >= 80


def test_refused_events_do_not_hide_behind_labels() -> None:
    """One event in thirteen is refused, and ten labels an event are repeats: the share is the events'."""
    shard = ShardDriver()
    for n in range(POISON_BLOCK // 10):
        shard.event(f"e{n}", {"x": None if n % 13 == 0 else 1.0})
        for _ in range(10):
            shard.label(f"e{n - n % 13 + 1}", True)
    (alert,) = told(shard, "poison-rate")
    assert alert["evidence"]["records"] == "events"
    assert alert["evidence"]["share"] == pytest.approx(1 / 13, abs=0.01)


def test_a_flood_of_nothing_but_refused_records_is_told() -> None:
    """Though no event is ever predicted."""
    shard = ShardDriver()
    for _ in range(POISON_BLOCK):
        assert shard.raw(1, b"{") is not None
    (alert,) = told(shard, "poison-rate")
    assert alert["evidence"]["share"] == 1.0
