"""What a shard tells of itself: lag, delays, drift by signal, costs, sizes; and what a scrape makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from stream_app.adapters.metrics import Metrics
from stream_app.application import Snapshots
from stream_app.learner.batch.merge import Merge
from stream_app.learner.costs import SAMPLE, STEPPING, Costs
from stream_app.learner.stats import lag, lag_s, levels
from stream_app.state.histogram import Histogram
from stream_app.state.vigil import CALM_MS, CALM_RECORDS, MOST_ALARMS, Alarmed, Vigil
from tests.scenario.fake_outside import Clock, World
from tests.scenario.shard_driver import START_MS, ShardDriver, application, logistic
from topics.envelope import EVENT, LABEL, Record
from topics.records import HistogramStats, Stats


def told(world: World) -> Stats:
    """The newest statistics that were written, decoded as a reader would."""
    return msgspec.json.decode([s.value or b"" for s in world.written if s.topic == "stats"][-1], type=Stats)


def scraped(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    samples = (sample for family in metrics.collect() for sample in family.samples)
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_lag_is_what_is_written_and_not_applied() -> None:
    """By what the client knows of the input's end, or by what is at hand where that is newer."""
    merge = Merge(0)
    assert lag(merge, [0, 5, 0], [None, 9, 0]) == {"commands": 0, "events": 4, "labels": 0}
    merge.offer(EVENT, [Record(EVENT, 9, 1_000, b"k", b"", None), Record(EVENT, 10, 3_000, b"k", b"", None)])
    assert lag(merge, [0, 9, 3], [None, 9, 2]) == {"commands": 0, "events": 2, "labels": 0}


def test_the_age_of_lag_is_its_oldest_records() -> None:
    """0 without lag, and unknown while the records that wait have not come yet."""
    merge = Merge(0)
    assert lag_s(merge, 9_000, {"events": 0}) == 0.0
    assert lag_s(merge, 9_000, {"events": 1}) is None
    merge.offer(LABEL, [Record(LABEL, 0, 4_000, b"k", b"", None)])
    merge.offer(EVENT, [Record(EVENT, 0, 1_500, b"k", b"", None)])
    assert lag_s(merge, 9_000, {"events": 1, "labels": 1}) == 7.5
    assert lag_s(merge, 1_000, {"events": 1}) == 0.0


def test_a_histogram_counts_up_to_and_with_its_bounds() -> None:
    """Cumulative, the last of all."""
    seen = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 2.0, 11.0):
        seen.observe(value)
    assert seen.report() == HistogramStats([1.0, 10.0], [2, 3, 4], 14.5)


def test_label_delays_are_log_time_of_one_label_in_eight() -> None:
    """Sixteen labels, each a minute after its event: two are counted, of a minute each."""
    shard = ShardDriver()
    for n in range(16):
        shard.event(f"e{n}", time_ms=START_MS + n * 60_000)
        shard.label(f"e{n}", n % 2 == 0, time_ms=START_MS + (n + 1) * 60_000)
    delays = shard.state.vigil.delays
    assert (sum(delays.n), delays.n[delays.le.index(60.0)], delays.sum) == (2, 2, 120.0)


def test_a_signal_is_stable_again_after_records_and_log_time_without_alarm() -> None:
    """Both must pass; a warning meanwhile does not hide the drift, and afterwards it counts."""
    vigil = Vigil()
    drift, warning = Alarmed("ddm", True, 0.1, 0.5, 1_000, 10), Alarmed("ddm", False, 0.1, 0.2, 2_000, 20)
    vigil.alarmed("loss", "champion", drift)
    vigil.alarmed("loss", "champion", warning)
    both = drift.at_ms + CALM_MS, drift.at + CALM_RECORDS
    for now_ms, now, level in (
        (both[0] - 1, both[1], "drift"),
        (both[0], both[1] - 1, "drift"),
        (*both, "stable"),
    ):
        assert [seen.level for seen in vigil.levels(now_ms, now)] == [level]
    vigil.alarmed("loss", "champion", Alarmed("ddm", False, 0.1, 0.2, *both))
    assert [seen.level for seen in vigil.levels(*both)] == ["warning"]


def test_a_snapshot_from_before_there_were_alarms_is_read() -> None:
    """It holds the first five fields, in their order; what it does not know begins anew."""
    quiet = {"drift loss/champion": [1_000, 2]}
    made: Any = Vigil(quiet, 1, 2.0, 3, 4).__reduce__()
    old = made[0](*made[1][:5])
    assert (old.quiet, old.last_label_ms, old.delay_ms, old.seen, old.dead) == (quiet, 1, 2.0, 3, 4)
    assert (sum(old.delays.n), old.alarms, old.champion_since_ms) == (0, {}, 0)


def test_models_are_weighed_in_turn_where_time_is_short() -> None:
    """At least one each time, the one not weighed for the longest first; known ones once a minute."""
    world = World(application(challengers={"other": logistic}))
    shard = world.shard()
    assert shard.live is not None
    snapshotter, state = shard.live.snapshotter, shard.live.processor.core.state
    world.model_takes_s = 1.0
    weighed = []
    for waited_s in (0, 0, 0, 60):
        world.clock.now_s += waited_s
        snapshotter.weigh(state, 1.0)
        weighed.append(list(snapshotter.weights))
    assert weighed == [[1], [1, 2], [1, 2], [2, 1]]
    state.slots.pop()
    world.clock.now_s += 60
    snapshotter.weigh(state, 100.0)
    assert list(snapshotter.weights) == [1]


def test_remembered_alarms_are_bounded() -> None:
    """The one that alarmed longest ago goes first."""
    vigil = Vigil()
    for n in (*range(MOST_ALARMS), 0, MOST_ALARMS):
        vigil.alarmed("features", f"f{n}", Alarmed("adwin", True, 0.0, 1.0, n, n))
    names = {name for _, name in vigil.alarms}
    assert len(names) == MOST_ALARMS
    assert {"f0", f"f{MOST_ALARMS}"} <= names
    assert "f1" not in names


def test_a_turned_concept_is_a_drift_of_the_champions_loss() -> None:
    """Its level, and nothing calm of models that are gone."""
    shard = ShardDriver()
    for n in range(1_600):
        shard.event(f"e{n}", {"x": float(n % 2)}, label=(n % 2 == 0) == (n < 800))
    champions = [seen for seen in levels(shard.state) if (seen.signal, seen.name) == ("loss", "champion")]
    assert [(seen.level, seen.after > seen.before) for seen in champions] == [("drift", True)]
    shard.state.slots = []
    shard.state.log_time_ms += CALM_MS
    shard.state.counters.events += CALM_RECORDS
    assert [seen for seen in levels(shard.state) if seen.signal == "loss"] == []


def test_a_champion_serves_since_the_first_record_or_its_swap() -> None:
    """In event time."""
    shard = ShardDriver(application(challengers={"other": logistic}))
    shard.state.untold = {1: "as a new shard has it"}
    shard.event("e0", time_ms=START_MS)
    assert shard.state.vigil.champion_since_ms == START_MS
    shard.event("e1", time_ms=START_MS + 9_000)
    assert shard.command("promote", slot="other", time_ms=None) is None
    assert shard.state.serving == "other"
    assert shard.state.vigil.champion_since_ms == shard.state.log_time_ms > START_MS


def test_costs_share_out_all_of_the_stepping_as_the_sampled_turn_had_it() -> None:
    """One turn in `SAMPLE` is sampled; the others' time is divided in its proportions, and none is lost."""
    clock = Clock()
    costs = Costs(clock)
    sampled = 0
    for _ in range(2 * SAMPLE):
        ended = costs.sampler()
        for stage, took_s in zip(STEPPING, (1.0, 2.0, 1.0), strict=True):
            clock.now_s += took_s
            if ended is not None:
                ended(stage)
        sampled += ended is not None
        costs.stepped(8.0)
    assert sampled == 2
    assert [costs.seconds[stage] for stage in STEPPING] == [SAMPLE * s for s in (4.0, 8.0, 4.0)]


def test_statistics_hold_what_the_loop_measured() -> None:
    """With a snapshot: its time, each model's size, transactions, and since when the champion serves."""
    app = application(challengers={"other": logistic}, snapshot=Snapshots(max_cost=1.0, max_recovery="1ms"))
    world = World(app)
    shard = world.shard()
    live = shard.live
    assert live is not None
    for n in range(3):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": n}, "label": n % 2 == 0})
    live.snapshotter.worked(1.0, 1)
    live.capture_at_rest()
    world.feed(shard, EVENT, {"event_id": "last", "features": {"x": 1}, "label": True})
    stats = told(world)
    assert set(stats.memory_bytes) == {"champion", "other"}
    assert min(stats.memory_bytes.values()) > 100
    for name in ("snapshot_seconds", "transaction_seconds", "step_seconds"):
        assert stats.histograms[name].n[-1] >= 1, name
    assert stats.champion_since_ms == world.inputs[EVENT][0].time_ms
    assert (stats.lag, stats.lag_s) == ({"commands": 0, "events": 0, "labels": 0}, 0.0)
    assert set(stats.cost_s) >= {"poll", "read", "step", "encode", "seal", "commit", "view", "snapshot"}


def test_a_shard_that_moved_away_is_exported_no_more(told_metrics: Metrics) -> None:
    """Another learner exports it; two would be summed up."""
    assert scraped(told_metrics)["stream_app_shard_phase", "a", "0", "live"] == 1.0
    assert ("stream_app_records_total", "a", "0", "events") in scraped(told_metrics)
    told_metrics.phase(0, "failed")
    assert scraped(told_metrics)["stream_app_shard_phase", "a", "0", "failed"] == 1.0
    assert ("stream_app_records_total", "a", "0", "events") not in scraped(told_metrics)
    told_metrics.phase(0, "dropped")
    assert set(scraped(told_metrics)) == {("stream_app_shards", "a"), ("stream_app_flow_compiled", "a")}


def test_a_snapshot_ages_though_nothing_happens(told_metrics: Metrics) -> None:
    """Statistics come with work; the age at a scrape goes on without."""
    clock: Any = told_metrics.clock
    before = scraped(told_metrics)["stream_app_snapshot_age_seconds", "a", "0"]
    clock.now_s += 60
    assert scraped(told_metrics)["stream_app_snapshot_age_seconds", "a", "0"] == pytest.approx(before + 60)


@pytest.fixture
def told_metrics() -> Metrics:
    """What a live shard with a snapshot exports."""
    world = World(application(snapshot=Snapshots(max_cost=1.0, max_recovery="1ms")))
    metrics = Metrics("a", 1, world.clock)
    world.deps = replace(world.deps, telemetry=metrics)
    shard = world.shard()
    assert shard.live is not None
    world.feed(shard, EVENT, {"event_id": "e0", "features": {"x": 1}, "label": True})
    shard.live.leave()
    world.settle(shard)
    return metrics
