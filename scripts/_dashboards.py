"""The dashboards of deploy/grafana, from what each panel asks: `python scripts/_dashboards.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARDS = Path(__file__).parents[1] / "deploy" / "grafana"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS, HEIGHT = 3, 7  # panels in a row of Grafana's 24 columns


class Panel(NamedTuple):
    """A title, what it says, its unit, and (query, legend) pairs; `$app` is the chosen application."""

    title: str
    says: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


SHARD = "{{app}}/{{shard}}"
SLOT = SHARD + " {{slot}}"
MODEL_AGE = 'time() - max by (app, shard) (stream_app_served_newest_timestamp_seconds{app=~"$app"})'
MOVES = 'app=~"$app",outcome=~"swaps|drifts|alerts"'
HOURLY = f"sum by (app, outcome) (increase(stream_app_records_total{{{MOVES}}}[1h]))"
MEMORY = 'process_resident_memory_bytes and on (instance) stream_app_shards{app=~"$app"}'


def rate(name: str, by: str, legend: str, where: str = "") -> tuple[tuple[str, str], ...]:
    """A counter's rate, summed up by labels."""
    return ((f'sum by ({by}) (rate({name}{{app=~"$app"{where}}}[$__rate_interval]))', legend),)


def quantiles(name: str, by: str, legend: str) -> tuple[tuple[str, str], ...]:
    """The median and the 99th percentile of a histogram."""
    buckets = f'sum by ({by}, le) (rate({name}_bucket{{app=~"$app"}}[$__rate_interval]))'
    return tuple((f"histogram_quantile({q}, {buckets})", f"{legend} p{q * 100:.0f}") for q in (0.5, 0.99))


def newest(name: str, by: str, legend: str, where: str = "") -> tuple[tuple[str, str], ...]:
    """A gauge; of two that export it for a moment, the larger one."""
    return ((f'max by ({by}) ({name}{{app=~"$app"{where}}})', legend),)


BOARDS = {
    "overview": ("stream_app: overview", (
        Panel("Live shards", "Shards that a learner applies records of. All others wait.", "short",
              newest("stream_app:shards_live:count", "app", "{{app}} live")
              + newest("stream_app_shards", "app", "{{app}} declared"), "stat"),
        Panel("Halted shards", "1: a person must decide, see the runbook.", "short",
              newest("stream_app_shard_halted", "app, shard", SHARD), "stat"),
        Panel("Redis shows the newest commit", "0 for minutes: Redis is down or behind.", "short",
              newest("stream_app_view_caught_up", "app, shard", SHARD), "stat"),
        Panel("Events", "Traffic: events read, by shard.", "ops",
              rate("stream_app_records_total", "app, shard", SHARD, ',outcome="events"')),
        Panel("Labels", "What becomes of labels.", "ops",
              rate("stream_app_labels_total", "app, outcome", "{{app}} {{outcome}}")),
        Panel("Refused records", "Errors: dead letters by reason.", "ops",
              rate("stream_app_dead_letters_total", "app, reason", "{{app}} {{reason}}")),
        Panel("Lag", "Records that are written and not applied.", "short",
              newest("stream_app_lag_records", "app, shard, input", SHARD + " {{input}}")),
        Panel("Lag in time", "Age of the oldest record that waits, by its own stamp.", "s",
              newest("stream_app_lag_seconds", "app, shard", SHARD)),
        Panel("Rows that wait", "pending: events without label; parked: labels without event.", "short",
              newest("stream_app_waiting_rows", "app, shard, kind", SHARD + " {{kind}}")),
        Panel("Transactions", "Latency: begin to end of one. A broker nearby takes some milliseconds.", "s",
              quantiles("stream_app_transaction_seconds", "app", "{{app}}")),
        Panel("Stepping in a turn", "How long commits wait for models; bounded to about 50 ms.", "s",
              quantiles("stream_app_step_seconds", "app", "{{app}}")),
        Panel("Where the time goes", "Saturation: the loop has one core; commit is beside it.", "percentunit",
              rate("stream_app_cost_seconds_total", "app, stage", "{{app}} {{stage}}")),
        Panel("Age of the newest snapshot", "A restart replays from there.", "s",
              newest("stream_app_snapshot_age_seconds", "app, shard", SHARD)),
        Panel("Size of the newest snapshot", "Models, features, waiting rows and ids.", "bytes",
              newest("stream_app_snapshot_bytes", "app, shard", SHARD)),
        Panel("Memory of learners", "Resident, by process.", "bytes",
              ((MEMORY, "{{instance}}"),)),
    )),
    "models": ("stream_app: models and drift", (
        Panel("Rolling accuracy", "Of served predictions, over 1,000 labels, by slot.", "percentunit",
              newest("stream_app_rolling_score", "app, shard, slot", SLOT, ',metric="accuracy"')
              + newest("stream_app_baseline_score", "app, shard", SHARD + " baseline", ',metric="accuracy"')),
        Panel("All rolling scores", "Each score of each slot.", "short",
              newest("stream_app_rolling_score", "app, shard, slot, metric", SHARD + " {{slot}} {{metric}}")),
        Panel("Version that serves", "A step is a swap or a rollback.", "short",
              newest("stream_app_champion_version", "app, shard, slot", SLOT)),
        Panel("Drift", "0 stable, 1 warning, 2 drift, by signal and name.", "short",
              newest("stream_app_drift_level", "app, shard, signal, name", SHARD + " {{signal}} {{name}}")),
        Panel("Features that moved", "Standard deviations of the mean; PSI for categories.", "short",
              newest("stream_app_feature_moved", "app, shard, feature", SHARD + " {{feature}}")),
        Panel("Swaps, drifts and alerts", "Within an hour.", "short",
              ((HOURLY, "{{app}} {{outcome}}"),)),
        Panel("Label delay", "Log time from an event to its label; one label in eight is counted.", "s",
              quantiles("stream_app_label_delay_seconds", "app, shard", SHARD)),
        Panel("Age of the champion", "Since it took over, in event time.", "s",
              newest("stream_app:champion_age:seconds", "app, shard", SHARD)),
        Panel("Labels learned", "By slot; candidates learn beside the champion.", "ops",
              rate("stream_app_labels_learned_total", "app, slot", "{{app}} {{slot}}")),
        Panel("Size of models", "Each slot's, pickled by itself at a snapshot.", "bytes",
              newest("stream_app_model_bytes", "app, shard, slot", SLOT)),
        Panel("Failed slots", "1: the challenger's model raised and left the race.", "short",
              newest("stream_app_slot_failed", "app, shard, slot", SLOT)),
        Panel("Learning is paused", "1: an operator paused it; labels that come are never learned.", "short",
              newest("stream_app_learning_paused", "app, shard", SHARD)),
    )),
    "serving": ("stream_app: serving", (
        Panel("Requests", "Traffic: requests for predictions.", "reqps",
              rate("stream_app_predict_seconds_count", "app", "{{app}}")),
        Panel("Rows", "A request may have many rows.", "ops",
              rate("stream_app_predicted_rows_total", "app", "{{app}}")),
        Panel("Time to answer", "Latency: features included.", "s",
              quantiles("stream_app_predict_seconds", "app", "{{app}}")),
        Panel("Problems", "Errors: requests that ended with a problem, by status.", "ops",
              rate("stream_app_problems_total", "app, status", "{{app}} {{status}}")),
        Panel("Rows without an answer", "bad-row: the row's fault; stale: it broke a bound of age.", "ops",
              rate("stream_app_refused_rows_total", "app, why", "{{app}} {{why}}")),
        Panel("Stale answers", "Rows that were answered and marked stale.", "ops",
              rate("stream_app_stale_answers_total", "app", "{{app}}")),
        Panel("Age of features", "Since the entity's last event, one entity of each request.", "s",
              quantiles("stream_app_feature_age_seconds", "app", "{{app}}")),
        Panel("Age of the model", "Since it was known to be the newest.", "s",
              ((MODEL_AGE, SHARD),)),
        Panel("Version that answers", "Behind the learner's for seconds at most.", "short",
              newest("stream_app_served_version", "app, shard", SHARD)),
        Panel("Entities from this process", "Hits and misses of the cache; a miss is a read of Redis.", "ops",
              rate("stream_app_entity_hits_total", "app", "{{app}} hits")
              + rate("stream_app_entity_misses_total", "app", "{{app}} misses")),
        Panel("Unknown entities", "Rows of entities that no event was seen of.", "ops",
              rate("stream_app_unknown_entities_total", "app", "{{app}}")),
        Panel("Labels that the model knew", "Of the model that answers.", "short",
              newest("stream_app_served_learned", "app, shard", SHARD)),
    )),
}  # fmt: skip


def panel(number: int, one: Panel) -> dict[str, Any]:
    """One panel at its place."""
    width = 24 // COLUMNS
    place = {"x": number % COLUMNS * width, "y": number // COLUMNS * HEIGHT, "w": width, "h": HEIGHT}
    return {
        "id": number + 1,
        "type": one.kind,
        "title": one.title,
        "description": one.says,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": one.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(65 + n), "expr": expr, "legendFormat": legend, "datasource": SOURCE}
            for n, (expr, legend) in enumerate(one.queries)
        ],
    }


def board(name: str, title: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """A dashboard with its two variables."""
    asked = f"label_values({'stream_app_served_version' if name == 'serving' else 'stream_app_shards'}, app)"
    variables = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "app",
            "label": "Application",
            "type": "query",
            "datasource": SOURCE,
            "refresh": 2,
            "query": {"query": asked, "refId": "app"},
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]
    return {
        "id": None,
        "uid": f"stream-app-{name}",
        "title": title,
        "tags": ["stream_app"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables},
        "panels": [panel(n, one) for n, one in enumerate(panels)],
    }


def text(name: str) -> str:
    """A dashboard's file."""
    return json.dumps(board(name, *BOARDS[name]), indent=1) + "\n"


if __name__ == "__main__":
    for name in BOARDS:
        (DASHBOARDS / f"{name}.json").write_text(text(name))
