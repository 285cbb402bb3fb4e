"""Whether learning is healthy, in a sentence, and what to do when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from stream_app.ops.figures import Sample, idle, rate, serving_slot, total, view_stands
from stream_app.ops.history import score_of
from topics.records import Stats

QUIET_S, SILENT_S = 25, 60  # without statistics; an idle learner sends them every 10 s
BEHIND_S = 60.0
FRESH_MS = {"critical": 600_000, "warning": 180_000}  # how long an alert counts
ENOUGH = 200  # predictions before a score is judged
MARGIN = 0.02  # of the baseline's score: below it is noise
MOST = 12  # findings
MENDING = ("swap", "rollback")
ORDER = ("stopped", "attention")


class Watched(Protocol):
    """What is judged of a board."""

    app: str
    shards: int
    score: str
    newest: dict[int, Stats]
    samples: dict[int, list[Sample]]

    def standing_alerts(self) -> Iterator[dict[str, Any]]: ...


class Finding(NamedTuple):
    """One thing that is not well; `text` and `remedy` are sentences."""

    state: str
    shard: int | None
    text: str
    remedy: str


def verdict(board: Watched, now_ms: int) -> dict[str, Any]:
    """Give `state` (empty, healthy, idle, attention or stopped), a sentence, a remedy and all findings."""
    if not board.newest and not any(board.standing_alerts()):
        return {
            "state": "empty",
            "findings": [],
            "sentence": f"{board.app} has not learned anything yet.",
            "remedy": "Start a learner and send the first event.",
        }
    found = [finding for shard in range(board.shards) for finding in of_shard(board, shard, now_ms)]
    found += alarms(board, now_ms)
    if not found:
        state, sentence = well(board)
        return {"state": state, "sentence": sentence, "remedy": "", "findings": []}
    found.sort(key=lambda finding: ORDER.index(finding.state))
    worst = found[0]
    more = f" {len(found) - 1} more below." if len(found) > 1 else ""
    return {
        "state": worst.state,
        "sentence": said(board, worst) + more,
        "remedy": worst.remedy,
        "findings": [{**one._asdict(), "text": said(board, one)} for one in found[:MOST]],
    }


def said(board: Watched, finding: Finding) -> str:
    """Its text, with the shard where there are several."""
    where = f"Shard {finding.shard}: " if finding.shard is not None and board.shards > 1 else ""
    return f"{where}{finding.text}"


def of_shard(board: Watched, shard: int, now_ms: int) -> Iterator[Finding]:
    """What one shard's newest statistics say."""
    stats = board.newest.get(shard)
    if stats is None:
        if board.newest:
            text = "No learner has reported on it yet."
            yield Finding("attention", shard, text, "Start another learner, or look at its log.")
        return
    silent_s = (now_ms - stats.time_ms) / 1000
    halt = halted(board, stats)
    if halt is not None:
        yield Finding("stopped", shard, f"Learning has halted: {halt[0]}", halt[1])
    elif silent_s > SILENT_S:
        text = f"No statistics for {duration(silent_s)}: no learner runs, or it is stuck or still recovering."
        remedy = "`stream-app status` names the learner, if there is one: start one, or read its log."
        yield Finding("stopped", shard, text, remedy)
    elif silent_s > QUIET_S:
        text = (
            f"No statistics for {duration(silent_s)}; a learner sends them every 10 s, also without events."
        )
        yield Finding("attention", shard, text, "It may be recovering; read the learner's log.")
    if stats.paused:
        yield Finding(
            "attention", shard, "Learning is paused; it predicts only.", "Resume when the cause is gone."
        )
    if stats.lag_s is not None and stats.lag_s > BEHIND_S:
        text = f"It is {duration(stats.lag_s)} behind its input."
        yield Finding(
            "attention", shard, text, "It may be catching up; if the lag grows, add shards or drop a slot."
        )
    if view_stands(stats, board.samples[shard]):
        text = "Redis does not show the newest commits."
        yield Finding("attention", shard, text, "Look at Redis; predictors answer from older copies.")
    yield from quality(board, stats)


def quality(board: Watched, stats: Stats) -> Iterator[Finding]:
    """The model that serves against the answer that needs no model, and slots that failed."""
    slot = serving_slot(stats)
    own = score_of(slot.scores, board.score) if slot else None
    base = score_of(stats.baseline, board.score)
    if own and base and min(own[1], base[1]) >= ENOUGH:
        behind = own[0] - base[0] if board.score == "mae" else base[0] - own[0]
        if behind > MARGIN * abs(base[0]):
            text = (
                f"The serving model ({board.score} {figure(own[0])}) is worse than the baseline "
                f"({figure(base[0])})."
            )
            yield Finding("attention", stats.shard, text, "Promote a better challenger, or check the labels.")
    for failed in stats.slots:
        if failed.failed:
            text = f"{failed.name} v{failed.version} has failed: {failed.failed[:200]}"
            yield Finding("attention", stats.shard, text, "Drop it, or correct the definition and upgrade.")


def halted(board: Watched, stats: Stats) -> tuple[str, str] | None:
    """Why a shard stands still, if it said so after its newest statistics; and the remedy."""
    for alert in board.standing_alerts():
        if (
            alert["type"] == "shard-halted"
            and alert["shard"] == stats.shard
            and alert["time_ms"] > stats.time_ms
        ):
            evidence = alert["evidence"]
            return evidence.get("reason", alert["message"]), evidence.get("remedy", "See its runbook.")
    return None


def alarms(board: Watched, now_ms: int) -> Iterator[Finding]:
    """Fresh alerts, by event time or by the clock; one for each kind and shard."""
    seen: set[tuple[str, int]] = set()
    for alert in reversed(by_time(board)):
        within_ms = FRESH_MS.get(alert["severity"])
        stats = board.newest.get(alert["shard"])
        times = [now_ms, *([stats.log_time_ms] if stats else [])]
        kind = alert["type"], alert["shard"]
        if within_ms is None or alert["type"] == "shard-halted" or alert["over"] or kind in seen:
            continue
        if any(0 <= time_ms - alert["time_ms"] < within_ms for time_ms in times):
            seen.add(kind)
            yield Finding(
                "attention", alert["shard"], f"{alert['type']}: {alert['message']}", advice(alert["type"])
            )


def over(alerts: list[dict[str, Any]], stats: Stats | None) -> list[dict[str, Any]]:
    """Of a shard's alerts those whose cause has gone since, but for what says so already.

    A halt ends with statistics, a drift with another model, a silence by an alert that ends it, a view that
    stood still once it has caught up, a failed snapshot with the next one.
    """
    ended = {alert["evidence"]["ended"] for alert in alerts if "ended" in alert["evidence"]}
    mended_ms = max((alert["time_ms"] for alert in alerts if alert["type"] in MENDING), default=-1)
    resolved = []
    for alert in alerts:
        kind, time_ms = alert["type"], alert["time_ms"]
        if alert["over"]:
            continue
        gone = (
            alert["id"] in ended
            or "ended" in alert["evidence"]
            or (kind == "drift" and time_ms <= mended_ms)
            or (stats is not None and kind == "shard-halted" and stats.time_ms > time_ms)
            or (stats is not None and kind == "view-stale" and stats.view.caught_up)
            or (
                stats is not None
                and kind == "snapshot-failed"
                and stats.snapshot.seq is not None
                and str(stats.snapshot.seq) != alert["evidence"].get("newest_seq")
            )
        )
        if gone:
            resolved.append(alert)
    return resolved


def by_time(board: Watched) -> list[dict[str, Any]]:
    """Every alert that is kept, the newest last."""
    return sorted(board.standing_alerts(), key=lambda alert: alert["time_ms"])


def advice(kind: str) -> str:
    """What to do after an alert of this kind."""
    if kind == "drift":
        return "Candidates learn beside it; watch whether one takes over, or gains weight in a blend."
    return "Read the alert below and its runbook."


def well(board: Watched) -> tuple[str, str]:
    """The state and the sentence when all is well."""
    if all(idle(board.samples[shard]) for shard in board.newest):
        return "idle", "Learning is idle: its learners run and no events come. Every check is green."
    found = total([rate(board.samples[shard], "predictions") for shard in board.newest])
    events = "" if found is None else f" {per_second(found)} events a second,"
    return "healthy", f"Learning is healthy:{events} every check is green."


def figure(value: float) -> str:
    """A score as the page says it everywhere.

    >>> figure(0.88724), figure(35_828.4)
    ('0.887', '35,828')
    """
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def per_second(value: float) -> str:
    """A rate as the page says it everywhere: one decimal below 100.

    >>> per_second(3.24), per_second(0.0), per_second(1234.5)
    ('3.2', '0', '1,234')
    """
    return f"{value:,.0f}" if value >= 100 else f"{round(value, 1):g}"


def duration(seconds: float) -> str:
    """As a person says it.

    >>> duration(42.4), duration(600), duration(90_000)
    ('42 s', '10 min', '25 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.0f} h"
