"""Every metric of a learner: its name, what it says, and where in a shard's statistics it is.

docs/metrics.md is made of these rows, and tests hold them to a real scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from topics.records import SlotStats, Stats

Sample = tuple[tuple[str, ...], Any]
Of = Callable[[Stats], Iterable[Sample]]
LEVELS = {"stable": 0, "warning": 1, "drift": 2}
PHASES = ("recovering", "live", "failed", "halted")


class Metric(NamedTuple):
    """`name` is without the `_total` that a counter gets; `of` gives (values of `labels`, number) pairs.

    Each also has the labels `app` and `shard`. A histogram's number is the report of one; None is left out.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    of: Of


def by(part: str) -> Of:
    """Take a mapping from the statistics, one sample for each name."""
    return lambda stats: [((name,), value) for name, value in getattr(stats, part).items()]


def single(value: Callable[[Stats], Any]) -> Of:
    """Take one number for the shard from the statistics."""
    return lambda stats: [((), value(stats))]


def histogram(name: str) -> Of:
    """Take one histogram from the statistics."""
    return lambda stats: [((), stats.histograms.get(name))]


def labels(stats: Stats) -> list[Sample]:
    """What became of label records: all but those that wait for their event."""
    counts, dead = stats.counts, stats.dead_letters
    gone = counts["dead_labels"] + counts["duplicate_labels"]
    return [
        (("matched",), counts["labels"] - gone - stats.waiting["parked"]),
        (("duplicate",), counts["duplicate_labels"]),
        (("expired",), counts["labels_expired"]),
        (("late",), dead.get("label-late", 0)),
        (("orphan",), dead.get("label-orphan", 0)),
        (("contradictory",), dead.get("label-contradictory", 0)),
    ]


def scores(stats: Stats) -> list[Sample]:
    """Give the rolling scores by slot."""
    return [
        ((slot.name, metric), value)
        for slot in stats.slots
        for metric, value in slot.scores["rolling"].items()
    ]


def champion(stats: Stats) -> SlotStats:
    """Give the slot that serves."""
    return next(slot for slot in stats.slots if slot.name == stats.serving)


def weights(stats: Stats) -> list[Sample]:
    """Give the part that each slot has in what is served."""
    return [
        ((slot.name,), float(slot.name == stats.serving) if slot.weight is None else slot.weight)
        for slot in stats.slots
    ]


def drift(stats: Stats) -> list[Sample]:
    """Give the drift levels by signal."""
    return [((seen.signal, seen.name, seen.detector), LEVELS[seen.level]) for seen in stats.drift]


def seconds(ms: int | None) -> float | None:
    """Epoch seconds, as Prometheus wants times."""
    return None if ms is None else ms / 1000


TABLE = (
    Metric("stream_app_records", "counter", "Records by outcome", ("outcome",), by("counts")),
    Metric("stream_app_labels", "counter",
           "Labels by outcome; expired: events whose label did not come in time", ("outcome",), labels),
    Metric("stream_app_labels_learned", "counter", "Labels learned by the model of a slot",
           ("slot",), lambda stats: [((slot.name,), slot.learned) for slot in stats.slots]),
    Metric("stream_app_label_delay_seconds", "histogram",
           "Delay from event to label in log time, sampled on one label in eight",
           (), histogram("label_delay_seconds")),
    Metric("stream_app_dead_letters", "counter", "Records refused as dead letters, by reason",
           ("reason",), by("dead_letters")),
    Metric("stream_app_features_missing", "counter", "Null values, by feature; the first 64 have a name",
           ("feature",), by("missing")),
    Metric("stream_app_waiting_rows", "gauge",
           "Waiting items; pending: events without a label, parked: labels without an event",
           ("kind",), by("waiting")),
    Metric("stream_app_lag_records", "gauge", "Records in the input topic that are not yet processed",
           ("input",), by("lag")),
    Metric("stream_app_lag_seconds", "gauge",
           "Age of the oldest unprocessed record by timestamp; 0 if none",
           (), single(lambda stats: stats.lag_s)),
    Metric("stream_app_merge_waits", "gauge",
           "Whether the merge of the inputs waits for this input (1) or not (0)",
           ("input",),
           lambda stats: [((name,), float(name in stats.merge_waits_for)) for name in stats.lag]),
    Metric("stream_app_log_time_timestamp_seconds", "gauge", "Log time: the newest event time processed",
           (), single(lambda stats: seconds(stats.log_time_ms))),
    Metric("stream_app_transaction_seconds", "histogram",
           "Duration of a Kafka transaction, from begin to commit", (), histogram("transaction_seconds")),
    Metric("stream_app_step_seconds", "histogram", "Time spent on records in one turn of the loop",
           (), histogram("step_seconds")),
    Metric("stream_app_cost_seconds", "counter",
           "Time spent by stage; the commit stage runs on a helper thread, all others on the loop's thread",
           ("stage",), by("cost_s")),
    Metric("stream_app_rolling_score", "gauge", "Rolling score of the predictions that were served",
           ("slot", "metric"), scores),
    Metric("stream_app_baseline_score", "gauge",
           "Rolling score of the no-change baseline, which predicts the previous label",
           ("metric",),
           lambda stats: [((name,), value) for name, value in stats.baseline["rolling"].items()]),
    Metric("stream_app_drift_level", "gauge",
           "Drift level: 0 stable, 1 warning, 2 drift; an alarm ends after 1,000 records and 10 min",
           ("signal", "name", "detector"), drift),
    Metric("stream_app_feature_moved", "gauge",
           "Shift of a feature, the 20 largest: in standard deviations, for categories as PSI",
           ("feature",), lambda stats: [((name,), moved) for name, moved in stats.moved]),
    Metric("stream_app_feature_importance", "gauge",
           "Share of a feature, of the ten largest, in what features do to answers",
           ("feature",), lambda stats: [((name,), share) for name, share in stats.importance]),
    Metric("stream_app_champion_version", "gauge", "Version of the serving model",
           ("slot",), lambda stats: [((stats.serving,), champion(stats).version)]),
    Metric("stream_app_champion_since_timestamp_seconds", "gauge",
           "Event time at which the serving model took over",
           (), single(lambda stats: seconds(stats.champion_since_ms))),
    Metric("stream_app_slot_weight", "gauge",
           "Weight of the slot's model in what is served; without a blend 1 for the champion, 0 for others",
           ("slot",), weights),
    Metric("stream_app_slot_failed", "gauge",
           "Whether the slot's model raised an error and is out of the comparison (1) or not (0)",
           ("slot",),
           lambda stats: [((slot.name,), float(slot.failed is not None)) for slot in stats.slots]),
    Metric("stream_app_model_bytes", "gauge",
           "Size of the slot's model, pickled alone at the newest snapshot", ("slot",), by("memory_bytes")),
    Metric("stream_app_snapshot_age_seconds", "gauge", "Age of the newest snapshot",
           (), single(lambda stats: stats.snapshot.age_s)),
    Metric("stream_app_snapshot_bytes", "gauge", "Size of the newest snapshot that this process saved",
           (), single(lambda stats: stats.snapshot.bytes)),
    Metric("stream_app_snapshot_too_dear", "gauge",
           "Whether snapshots exceed max_cost at the interval that max_recovery needs (1) or not (0)",
           (), single(lambda stats: float(stats.snapshot.too_dear))),
    Metric("stream_app_snapshot_seconds", "histogram", "Time to pickle and save a snapshot",
           (), histogram("snapshot_seconds")),
    Metric("stream_app_view_caught_up", "gauge",
           "Whether Redis shows the newest commit (1) or an older one (0)",
           (), single(lambda stats: float(stats.view.caught_up))),
    Metric("stream_app_entities", "gauge", "Entities whose features are in memory",
           (), single(lambda stats: stats.entities)),
    Metric("stream_app_remembered_ids", "gauge", "Event ids in memory to detect duplicates",
           (), single(lambda stats: stats.ids)),
    Metric("stream_app_forgotten", "counter",
           "Items dropped early because a bound was reached: ids within dedupe, entities within ttl",
           ("what",), by("forgotten")),
    Metric("stream_app_learning_paused", "gauge", "Whether learning is paused by an operator (1) or not (0)",
           (), single(lambda stats: float(stats.paused))),
    Metric("stream_app_replayed_batches", "gauge", "Batches replayed by the newest recovery",
           (), single(lambda stats: stats.replayed_batches)),
)  # fmt: skip
# What a process knows of its shards without their statistics; (name, help, labels).
PROCESS = (
    ("stream_app_shards", "Shards declared by the definition", ("app",)),
    ("stream_app_flow_compiled", "Whether the flow is compiled to C (1) or interpreted (0)", ("app",)),
    ("stream_app_shard_phase", f"Phase of the shard, 1 for the current one: {', '.join(PHASES)}",
     ("app", "shard", "phase")),
    ("stream_app_shard_halted", "Whether the shard is halted until a person decides (1) or not (0)",
     ("app", "shard")),
)  # fmt: skip
