"""Every type of alert: how severe it is and what it means. Its section in docs/runbooks.md has its name."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from topics.records import Alert

Severity = Literal["info", "warning", "critical"]
INFO: Final = "info"
WARNING: Final = "warning"
CRITICAL: Final = "critical"


class AlertType(NamedTuple):
    """`severity` is the usual one; a few are less severe where they concern nothing that serves."""

    severity: Severity
    meaning: str


ALERTS: Final = {
    "bridge-silent": AlertType(CRITICAL, "records wait to be copied, and no bridge runs"),
    "bridge-waiting": AlertType(CRITICAL, "the bridge waits for a schema that nobody gives it"),
    "candidate-refused": AlertType(WARNING, "a model was to serve or to be made, and cannot"),
    "candidate-slow": AlertType(WARNING, "a candidate answers too slowly and is dropped"),
    "challenger-failed": AlertType(WARNING, "a challenger raised an error and is out of the comparison"),
    "champion-failed": AlertType(CRITICAL, "the champion could not learn a default label"),
    "contradiction": AlertType(WARNING, "most new records contradict a learned type or class set"),
    "delivery-failing": AlertType(CRITICAL, "a route of ops does not deliver its alerts"),
    "drift": AlertType(WARNING, "a detector sees a change; info where it is not the champion's loss"),
    "earlier-life": AlertType(WARNING, "topics were created again; what was stored before is not used"),
    "entities-full": AlertType(WARNING, "entities are dropped before their ttl"),
    "feature-missing": AlertType(WARNING, "a feature that was expected does not come"),
    "features-full": AlertType(WARNING, "models see further strings or names of features as one"),
    "ids-full": AlertType(WARNING, "event ids are forgotten within dedupe"),
    "importance-moved": AlertType(INFO, "answers rest on other features than before"),
    "input-silent": AlertType(CRITICAL, "a shard waits for an input that gives no answer"),
    "label-drought": AlertType(CRITICAL, "events come and their labels do not"),
    "learner-silent": AlertType(WARNING, "no statistics of a shard have come for a while"),
    "many-strings": AlertType(WARNING, "a string feature has as many values as an id"),
    "no-answer": AlertType(WARNING, "a model gives no answer to many events"),
    "offsets-behind": AlertType(WARNING, "the broker had older offsets than the journal, which decides"),
    "partitioner-mismatch": AlertType(CRITICAL, "a producer does not place keys by murmur2"),
    "pending-full": AlertType(WARNING, "rows expire before their label can come"),
    "poison-rate": AlertType(WARNING, "many of the newest records were refused"),
    "publication-refused": AlertType(CRITICAL, "predictors refuse the published champion"),
    "rollback": AlertType(WARNING, "the previous champion serves again"),
    "shard-failing": AlertType(CRITICAL, "a shard fails again and again at one position"),
    "shard-halted": AlertType(CRITICAL, "a shard stopped until a person decides"),
    "snapshot-failed": AlertType(WARNING, "no snapshot could be saved"),
    "snapshot-too-dear": AlertType(WARNING, "snapshots take more time than max_cost allows"),
    "snapshots-unreachable": AlertType(CRITICAL, "the snapshot store does not answer a recovery"),
    "source-suspect": AlertType(WARNING, "labels of a key are quarantined; info when that ends"),
    "swap": AlertType(INFO, "another model serves"),
    "swap-budget": AlertType(WARNING, "no more swaps are allowed for a while"),
    "topic-settings": AlertType(CRITICAL, "a topic's settings were changed to what can lose records"),
    "view-fenced": AlertType(CRITICAL, "Redis has newer data than this learner, which does not write"),
    "view-stale": AlertType(CRITICAL, "Redis has not shown the newest commits for a while"),
    "worse-than-baseline": AlertType(WARNING, "the champion is worse than predicting the previous label"),
}


def run_alert(
    app: str, shard: int, kind: str, cause: str, time_ms: int, message: str, evidence: dict[str, Any]
) -> Alert:
    """An alert that no record caused; its id derives from `cause`, so that repeats are one alert."""
    alert_id = f"{app}/{shard}/{kind}/{cause}"
    return Alert(alert_id, kind, ALERTS[kind].severity, shard, time_ms, message, evidence, runbook(kind))


def runbook(kind: str) -> str:
    """Where the runbook says what to do about alerts of a type."""
    return f"docs/runbooks.md#{kind}"
