"""What the dashboard's board holds: the same whatever comes twice, bounded, honest about what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest

from stream_app.ops.dashboard import ALERTS, LETTERS, SHOWN_MODELS, VERSIONS, DashboardModel
from stream_app.ops.figures import important
from stream_app.ops.history import Point
from stream_app.ops.regret import regret_of
from topics.records import (
    Alert,
    DriftStats,
    HistogramStats,
    ModelReceipt,
    SlotStats,
    SnapshotStats,
    Stats,
    ViewStats,
)

T_MS = 1_800_000_000_000


def stats(
    second: int, shard: int = 0, accuracy: float = 0.9, serving: str = "champion", **other: Any
) -> Stats:
    """A healthy shard's record of one second: 100 events a second."""
    version = {"champion": 1, "tree": 2}[serving]
    slots = [
        SlotStats("champion", 1, 50 * second, None, {"rolling": {"n": 1_000, "accuracy": accuracy}}),
        SlotStats("tree", 2, 50 * second, None, {"rolling": {"n": 1_000, "accuracy": 0.8}}),
    ]
    assert any(slot.version == version for slot in slots)
    told: dict[str, Any] = {
        "shard": shard,
        "time_ms": T_MS + 1_000 * second,
        "owner": "host:1",
        "epoch": 0,
        "seq": second,
        "log_time_ms": T_MS + 1_000 * second,
        "counts": {"predictions": 100 * second, "labels": 60 * second, "labels_learned": 50 * second},
        "dead_letters": {"label-late": 3, "malformed": 1},
        "waiting": {"pending": 7, "parked": 2},
        "entities": 5,
        "ids": 5,
        "paused": False,
        "serving": serving,
        "slots": slots,
        "baseline": {"rolling": {"n": 1_000, "accuracy": 0.6}},
        "repredicted": {},
        "positions": {},
        "merge_waits_for": [],
        "buffered": {},
        "replayed_batches": 0,
        "view": ViewStats("0:1", True),
        "snapshot": SnapshotStats(1, 2.0, 100, 0.1, False),
        "cost_s": {"step": 0.25 * second},
    }
    return Stats(**(told | other))


def alert(
    number: int, severity: Any = "info", kind: str = "drift", time_ms: int | None = None, **other: Any
) -> Alert:
    """One of many."""
    stamp = T_MS + number if time_ms is None else time_ms
    return Alert(f"a/{number:06}", kind, severity, other.pop("shard", 0), stamp, "said", other)


def receipt(version: int, status: str = "challenger", **other: Any) -> dict[str, Any]:
    """As the topic holds it."""
    told = ModelReceipt(
        0, "champion" if version == 1 else "tree", version, None, "declared", None, {}, status=status
    )
    return {**msgspec.to_builtins(told), "time_ms": T_MS, "fingerprint": {"epoch": 0, "seq": 0}, **other}


def board(shards: int = 1) -> DashboardModel:
    """An empty one."""
    return DashboardModel("app", shards, "binary")


def filled(times: int) -> DashboardModel:
    """A board to which everything is told so many times."""
    found = board(2)
    for second in range(1, 30):
        for shard in range(2):
            for _ in range(times):
                found.stats(stats(second, shard))
    for _ in range(times):
        found.model("0/1", receipt(1, "serving"))
        found.model("0/champion", receipt(1, "serving"))
        found.model("0/2", receipt(2))
        found.alert(alert(1))
        found.dead_letter(0, 4, T_MS, {"reason": "label-late", "message": "late"})
    return found


def test_what_comes_twice_changes_nothing() -> None:
    """A board that was told everything three times equals one that was told once, its version too."""
    once, thrice = filled(1), filled(3)
    assert thrice.snapshot() == once.snapshot()
    version = once.version
    once.stats(stats(29, 0))
    once.stats(stats(3, 1))
    once.alert(alert(1))
    once.model("0/2", receipt(2))
    once.dead_letter(0, 4, T_MS, {"reason": "label-late", "message": "late"})
    assert once.version == version


def test_alerts_and_letters_are_bounded_and_the_newest_stay() -> None:
    """Of twice as many as there is room for, the newest stay, and an old one that comes again stays out."""
    found = board()
    for number in range(2 * ALERTS):
        found.alert(alert(number))
        found.dead_letter(0, number, T_MS + number, {"reason": "malformed"})
    told = found.snapshot()
    assert [one["id"] for one in told["alerts"]] == [f"a/{n:06}" for n in reversed(range(ALERTS, 2 * ALERTS))]
    assert len(told["letters"]) == LETTERS
    version = found.version
    found.alert(alert(0))
    found.dead_letter(0, 0, T_MS, {"reason": "malformed"})
    assert found.version == version


def test_receipts_and_history_are_bounded() -> None:
    """A shard keeps a hundred receipts and its share of the history, however long it runs."""
    found = DashboardModel("app", 1, "binary", 40)
    for number in range(1, 3 * VERSIONS):
        found.model(f"0/{number}", receipt(number))
        found.stats(stats(10 * number))
    for second in range(30 * VERSIONS, 31 * VERSIONS):
        found.stats(stats(second))
    assert len(found.snapshot(shard=0)["models"]) == VERSIONS
    together = found.snapshot()
    assert (len(together["models"]), together["models_in_all"]) == (SHOWN_MODELS, VERSIONS)
    series = found.snapshot()["series"]
    assert (len(series["near"]["t"]), len(series["far"]["t"])) == (20, 20)


def test_evidence_and_texts_of_others_are_cut() -> None:
    """An alert with a megabyte in it costs a few kilobytes."""
    found = board()
    found.alert(Alert("a", "x" * 9, "info", 0, T_MS, "m" * 1_000_000, {"big": ["y"] * 100_000, "more": 1}))
    assert len(orjson.dumps(found.snapshot()["alerts"])) < 10_000


@pytest.mark.parametrize(
    ("key", "value"),
    [("0/champion", {"v": 1}), ("nonsense", receipt(1)), ("7/1", receipt(1)), ("0/2", receipt(1)), ("/", {})],
)
def test_what_no_shard_wrote_is_passed_over(key: str, value: dict[str, Any]) -> None:
    """Anybody may write to the models topic: what cannot be a receipt of this shard changes nothing."""
    found = board()
    found.model(key, value)
    assert found.version == 0


def test_changes_tell_what_is_new_and_no_more() -> None:
    """After a version, only later alerts, letters and models come; the figures always do."""
    found = filled(1)
    since = found.version
    assert found.changes(since)["alerts"] == found.changes(since)["letters"] == []
    assert "models" not in found.changes(since)
    found.alert(alert(2))
    found.model("0/3", receipt(3))
    later = found.changes(since)
    assert [one["id"] for one in later["alerts"]] == ["a/000002"]
    assert {model["version"] for model in later["models"]} == {1, 2, 3}
    assert later["detail"]["counts"]["predictions"] == 2 * 2_900


def test_changes_of_fifty_shards_with_six_slots_are_small() -> None:
    """What goes to each browser every second is under 64 KiB."""
    found = board(50)
    for second in range(1, 60):
        for shard in range(50):
            told = stats(second, shard)
            told.slots = [
                SlotStats(
                    f"slot-{n}", n, 9_999, None, {"rolling": {"n": 1_000, "accuracy": 0.912345, "f1": 0.8}}
                )
                for n in range(1, 7)
            ]
            told.serving = "slot-1"
            found.stats(told)
    assert len(orjson.dumps(found.changes(found.version - 50))) < 65_536


def test_rates_scores_and_costs() -> None:
    """Two shards of 100 events a second are 200; scores are weighted; costs are shares of wall time."""
    detail = filled(1).snapshot()["detail"]
    assert detail["rates"] == {"predictions": 200.0, "labels": 120.0, "labels_learned": 100.0}
    assert detail["slots"][0]["scores"] == {"n": 2_000, "accuracy": 0.9}
    assert detail["slots"][0]["serves"] == 2
    assert detail["costs"] == [("step", 0.5)]
    assert detail["labels"]["late"] == 6
    assert detail["labels"]["refused"] == 6
    assert detail["labels"]["delay_s"] is None
    assert (detail["lag"], detail["lag_s"], detail["memory_bytes"]) == (None, None, None)


def test_what_newer_learners_tell_is_shown() -> None:
    """Lag, delays, drift by signal, moved features and memory stand where a learner tells them."""
    found = board()
    told = stats(
        1,
        lag={"events": 5, "labels": 0},
        lag_s=1.5,
        moved=[("x", 0.5), ("y", 2.0)],
        importance=[("x", 0.75), ("y", 0.25)],
        memory_bytes={"tree": 9},
        histograms={"label_delay_seconds": HistogramStats([1.0, 10.0, 60.0], [0, 8, 10, 10], 99.0)},
        drift=[
            DriftStats("loss", "champion", "adwin", "stable", 0.1, 0.1, T_MS),
            DriftStats("features", "x", "psi", "drift", 0.1, 0.4, T_MS),
        ],
        champion_since_ms=T_MS,
    )
    found.stats(told)
    snapshot = found.snapshot()
    detail = snapshot["detail"]
    assert (detail["lag"]["events"], detail["lag_s"]) == (5, 1.5)
    assert detail["labels"]["delay_s"] == [10.0, 60.0]
    assert detail["moved"] == [("y", 2.0), ("x", 0.5)]
    assert detail["importance"] == [("x", 0.75), ("y", 0.25)]
    assert important([told, stats(1, 1, importance=[("y", 1.0)]), stats(1, 2)]) == [
        ("y", 0.625),
        ("x", 0.375),
    ]
    assert [one["signal"] for one in detail["drift"]] == ["features", "loss"]
    assert detail["memory_bytes"] == {"tree": 9}
    assert snapshot["summary"][0]["since_ms"] == T_MS


def test_a_swap_and_a_drift_are_marked_where_they_were_seen() -> None:
    """The chart marks the moment at which another model began to serve, and at which drifts were counted."""
    found = board()
    for second in range(2, 40, 2):
        swapped = second >= 20
        counts = {"predictions": 100 * second, "drifts": int(second >= 10)}
        found.stats(stats(second, serving="tree" if swapped else "champion", counts=counts))
    near = found.snapshot(shard=0)["series"]["near"]
    assert near["marks"] == [
        [T_MS + 10_000, "drift: a detector sees drift"],
        [T_MS + 20_000, "swap: tree v2 serves"],
    ]
    assert set(near["slots"]) == {"champion v1", "tree v2"}
    assert near["rate"][5] == 100.0
    assert (near["serving"][0], near["serving"][-1]) == (0.9, 0.8)
    assert found.snapshot()["series"]["near"]["marks"][1][1] == "swap: shard 0: tree v2 serves"


def test_the_weights_of_a_blend_are_drawn_and_a_newcomer_is_no_swap() -> None:
    """By model, of one shard alone; the blend itself has none, and stays what serves as its version moves."""
    found = board()
    report = {"rolling": {"n": 1_000, "accuracy": 0.9}}
    for second in range(2, 20, 2):
        weight = second / 20
        slots = [
            SlotStats("blend", 2 + (second > 10), 50, None, report, 1.0),
            SlotStats("champion", 1, 50, None, report, weight),
            SlotStats("tree", 2, 50, None, report, 1 - weight),
        ]
        found.stats(msgspec.structs.replace(stats(second), serving="blend", slots=slots))
    near = found.snapshot(shard=0)["series"]["near"]
    assert set(near["weights"]) == {"champion v1", "tree v2"}
    assert near["weights"]["champion v1"] == pytest.approx([n / 10 for n in range(1, 10)])
    assert near["weights"]["tree v2"] == pytest.approx([1 - n / 10 for n in range(1, 10)])
    assert near["marks"] == []
    assert found.snapshot()["series"]["near"]["weights"] == {}
    rows = {row["name"]: row["weight"] for row in found.snapshot(shard=0)["detail"]["slots"]}
    assert rows == {"blend": 1.0, "champion": 0.9, "tree": 0.1}


@pytest.mark.parametrize(
    ("lower_is_better", "single", "less_single", "less_sequence"),
    [(False, "a v1", 0.85 - 0.81, 0.85 - 0.875), (True, "b v2", 0.85 - 0.8, 0.85 - 0.75)],
)
def test_a_blend_stands_beside_its_best_model_and_the_best_of_each_stretch(
    lower_is_better: bool, single: str, less_single: float, less_sequence: float
) -> None:
    """Over ten stretches of a thousand labels: one model good in turns, one steady, one of the last alone."""
    points = []
    for n in range(1, 31):  # a point each 500 labels, so every second one counts, from the newest back
        scores = {name: (value, 1_000.0) for name, value in (("blend v9", 0.85), ("b v2", 0.8))}
        scores["a v1"] = (0.92 if n % 4 < 2 else 0.7, 1_000.0)
        if n == 30:
            scores["new v3"] = (0.95, 1_000.0)
        points.append(Point(0, T_MS + n, 0, 500 * n, 0, 0, 0, None, None, "blend v9", scores, None))
    found = regret_of(reversed(points), lower_is_better=lower_is_better)
    assert found is not None
    assert (found.labels, found.stretches, found.single) == (10_000, 10, single)
    assert found.less_single == pytest.approx(less_single)
    assert found.less_sequence == pytest.approx(less_sequence)


def test_without_a_blend_nothing_is_compared() -> None:
    """Nor before the first scores, nor of several shards at once."""
    assert regret_of([], lower_is_better=False) is None
    assert board().snapshot()["regret"] is None
    found = filled(1)
    assert found.snapshot(shard=0)["regret"] is None


def test_one_shard_alone_is_told_alone() -> None:
    """The detail, the models and the history of one shard hold nothing of another."""
    found = filled(1)
    one = found.snapshot(shard=1)
    assert one["detail"]["rates"]["predictions"] == 100.0
    assert one.get("models", []) == []
    assert len(one["summary"]) == 2


HEALTH: list[tuple[dict[str, Any], int, str, str]] = [
    ({}, 0, "healthy", "100 events a second"),
    ({}, 30, "attention", "No statistics for 30 s"),
    ({}, 90, "stopped", "No statistics for 90 s: no learner runs, or it is stuck"),
    ({"paused": True}, 0, "attention", "paused"),
    ({"lag_s": 125.0}, 0, "attention", "2 min behind"),
    ({"accuracy": 0.5}, 0, "attention", "worse than the baseline"),
    ({"view": ViewStats("0:1", False)}, 0, "attention", "Redis"),
]


@pytest.mark.parametrize(("other", "later_s", "state", "words"), HEALTH)
def test_health_in_a_sentence(other: dict[str, Any], later_s: int, state: str, words: str) -> None:
    """Each condition has its state, a sentence that names it, and a remedy unless all is well."""
    found = board()
    for second in range(1, 12):
        found.stats(stats(second, **other))
    health = found.snapshot(T_MS + 11_000 + 1_000 * later_s)["health"]
    assert health["state"] == state
    assert words in health["sentence"]
    assert bool(health["remedy"]) == (state != "healthy")


def test_an_idle_shard_is_idle_and_its_rate_is_0_everywhere() -> None:
    """After the last event: statistics in ten seconds without a change. None of them asks for anything."""
    found = board()
    for second in range(1, 12):
        found.stats(stats(second))
    counts = stats(11).counts
    for second in range(21, 140, 10):
        found.stats(stats(second, seq=11, counts=counts))
        shown = found.snapshot(T_MS + 1_000 * (second + 9))
        assert shown["health"]["state"] == "idle"
        assert (shown["health"]["findings"], shown["health"]["remedy"]) == ([], "")
        assert shown["detail"]["rates"]["predictions"] == shown["summary"][0]["rate"] == 0
        assert shown["summary"][0]["idle"]
    found.stats(stats(141, counts={name: n + 50 for name, n in counts.items()}))
    assert found.snapshot()["health"]["state"] == "healthy"
    assert found.snapshot()["detail"]["rates"]["predictions"] == 5.0
    assert "5 events a second" in found.snapshot()["health"]["sentence"]


def test_one_shard_without_keys_beside_a_busy_one_is_idle() -> None:
    """The application is healthy; the line of the idle shard says idle."""
    found = board(2)
    for second in range(1, 22):
        found.stats(stats(second))
        if second % 10 == 1:
            found.stats(stats(second, shard=1, seq=0, counts={"predictions": 0}))
    shown = found.snapshot()
    assert shown["health"]["state"] == "healthy"
    assert [line["idle"] for line in shown["summary"]] == [False, True]


def test_a_view_that_is_a_batch_behind_is_no_fault() -> None:
    """Under load Redis is always a little behind; only one that stands still asks for attention."""
    found = board()
    for second in range(1, 12):
        found.stats(stats(second, view=ViewStats(f"0:{second - 1}", False)))
    assert found.snapshot()["health"]["state"] == "healthy"
    assert found.snapshot()["detail"]["view_behind"] == 0


def test_an_empty_board_says_how_to_begin() -> None:
    """Nothing told yet is its own state."""
    assert board().snapshot()["health"]["state"] == "empty"


def test_a_halt_is_worse_than_anything_and_over_when_statistics_come() -> None:
    """A halted shard is stopped, with the reason and the remedy of its alert, until it speaks again."""
    found = board()
    found.stats(stats(1, paused=True))
    found.alert(
        alert(1, "critical", "shard-halted", T_MS + 2_000, reason="the replay diverged", remedy="upgrade")
    )
    health = found.snapshot(T_MS + 3_000)["health"]
    assert (health["state"], health["remedy"]) == ("stopped", "upgrade")
    assert health["sentence"] == "Learning has halted: the replay diverged 1 more below."
    found.stats(stats(4))
    assert found.snapshot(T_MS + 4_000)["health"]["state"] == "healthy"


@pytest.mark.parametrize(
    ("severity", "age_s", "state"),
    [
        ("critical", 500, "attention"),
        ("warning", 500, "healthy"),
        ("warning", 100, "attention"),
        ("info", 1, "healthy"),
    ],
)
def test_fresh_alerts_ask_for_attention(severity: str, age_s: int, state: str) -> None:
    """A critical alert counts for ten minutes, a warning for three, news never."""
    found = board()
    found.stats(stats(1_000))
    found.alert(alert(1, severity, time_ms=T_MS + 1_000 * (1_000 - age_s)))
    assert found.snapshot(T_MS + 1_000_000)["health"]["state"] == state


@pytest.mark.parametrize(("swap_s", "state"), [(None, "attention"), (989, "attention"), (991, "healthy")])
def test_a_drift_is_over_once_another_model_serves(swap_s: int | None, state: str) -> None:
    """A drift of the champion asks for attention until a swap that came after it."""
    found = board()
    found.stats(stats(1_000))
    found.alert(alert(1, "warning", time_ms=T_MS + 990_000))
    if swap_s is not None:
        found.alert(alert(2, "info", "swap", T_MS + 1_000 * swap_s))
    assert found.snapshot(T_MS + 1_000_000)["health"]["state"] == state


OVER: list[tuple[Alert, Callable[[DashboardModel], None], bool]] = [
    (alert(1, "warning"), lambda found: found.alert(alert(2, "info", "swap", T_MS + 9_000)), True),
    (alert(1, "warning"), lambda found: found.alert(alert(2, "info", "swap", T_MS - 9_000)), False),
    (alert(1, "critical", "shard-halted"), lambda found: found.stats(stats(9)), True),
    (
        alert(1, "warning", "learner-silent"),
        lambda found: found.alert(alert(2, "warning", "learner-silent", ended="a/000001")), True,
    ),
    (
        alert(1, "critical", "view-stale"),
        lambda found: found.stats(stats(9, view=ViewStats("0:1", False))), False,
    ),
    (alert(1, "critical", "view-stale"), lambda found: found.stats(stats(9)), True),
    (alert(1, "warning", "snapshot-failed", newest_seq=1), lambda found: found.stats(stats(9)), False),
    (alert(1, "warning", "snapshot-failed", newest_seq=0), lambda found: found.stats(stats(9)), True),
    (alert(1, "critical", "poison-rate"), lambda found: found.stats(stats(9)), False),
    (alert(1, "critical", "shard-halted", shard=1), lambda found: found.stats(stats(9)), False),
]  # fmt: skip


@pytest.mark.parametrize(("about", "then", "over"), OVER)
def test_an_alert_whose_cause_has_gone_is_over(
    about: Alert, then: Callable[[DashboardModel], None], over: bool
) -> None:
    """It is marked so once, stays so when its delivery is noted, and the change is sent to the page."""
    found = board(2)
    found.alert(about)
    before = found.version
    then(found)
    shown = {told["id"]: told for told in found.snapshot()["alerts"]}
    assert shown["a/000001"]["over"] is over
    sent = [told["id"] for told in found.changes(before)["alerts"]]
    assert ("a/000001" in sent) is over
    found.alert(about, "log")
    assert next(t for t in found.snapshot()["alerts"] if t["id"] == "a/000001")["over"] is over


def test_an_alert_that_is_over_stays_over() -> None:
    """What comes again is another alert; the old one is not opened by a note about its delivery."""
    found = board()
    about = alert(1, "critical", "view-stale")
    found.alert(about)
    found.stats(stats(9))
    found.stats(stats(10, view=ViewStats("0:1", False)))
    found.alert(about, "log")
    assert [told["over"] for told in found.snapshot()["alerts"]] == [True]


def test_numbers_in_a_sentence_are_as_people_read_them() -> None:
    """No exponents."""
    found = DashboardModel("app", 1, "regression")
    scores = {"rolling": {"n": 1_000, "mae": 35_828.4}}
    slots = [SlotStats("champion", 1, 50, None, scores)]
    found.stats(stats(1, slots=slots, baseline={"rolling": {"n": 1_000, "mae": 225.1}}))
    assert "(mae 35,828) is worse than the baseline (225)" in found.snapshot()["health"]["sentence"]


def test_an_alerts_delivery_is_told_later() -> None:
    """The same alert with word of its delivery replaces the one without."""
    found = board()
    found.alert(alert(1))
    found.alert(alert(1), "webhook")
    assert [one["delivered"] for one in found.snapshot()["alerts"]] == ["webhook"]


def test_a_letter_tells_meaning_and_remedy() -> None:
    """A dead letter's reason comes with what it means and what to do."""
    found = filled(1)
    (letter,) = found.snapshot()["letters"]
    assert "horizon" in letter["meaning"]
    assert letter["remedy"].startswith("Raise Labels")
