"""A shard's figures, or those of several as one: rates, scores, labels, costs, drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from stream_app.ops.history import mean, score_of, short
from topics.records import HistogramStats, SlotStats, Stats

DELAYS = "label_delay_seconds"
QUANTILES = (0.5, 0.95)
RANKED = 20
STANDS_MS = 8_000
WINDOW_MS = 10_000  # over which rates are computed; an idle shard sends statistics as often
COUNTED = ("predictions", "labels", "labels_learned")


class Sample(msgspec.Struct, frozen=True):
    """What rates are made of; everything grows until its process ends."""

    time_ms: int
    counts: dict[str, int]
    cost_s: dict[str, float]
    seq: int
    stamp: str | None


StatsAndSamples = tuple[Stats, Sequence[Sample]]


def sample_of(stats: Stats) -> Sample:
    """The counters of one moment."""
    counts = {name: stats.counts.get(name, 0) for name in COUNTED}
    return Sample(stats.time_ms, counts, stats.cost_s, stats.seq, stats.view.stamp)


def rate(samples: Sequence[Sample], name: str) -> float | None:
    """Per second over the samples; None where they are of one moment or the counter began anew."""
    first, last = samples[0], samples[-1]
    span_s, more = (last.time_ms - first.time_ms) / 1000, last.counts[name] - first.counts[name]
    return more / span_s if span_s > 0 and more >= 0 else None


def newest(samples: list[Sample]) -> list[Sample]:
    """The samples of one window; at least two, since an idle shard sends one in ten seconds."""
    since_ms = samples[-1].time_ms - WINDOW_MS
    return [sample for sample in samples[:-2] if sample.time_ms > since_ms] + samples[-2:]


def idle(samples: Sequence[Sample]) -> bool:
    """Whether nothing came between the samples."""
    return all(rate(samples, name) == 0 for name in COUNTED)


def shares(samples: Sequence[Sample]) -> dict[str, float]:
    """By stage: the share of wall time that it took."""
    first, last = samples[0], samples[-1]
    span_s = (last.time_ms - first.time_ms) / 1000
    if span_s <= 0:
        return {}
    spent = {stage: spent - first.cost_s.get(stage, 0.0) for stage, spent in last.cost_s.items()}
    return {stage: more / span_s for stage, more in spent.items() if more >= 0}


def view_stands(stats: Stats, samples: Sequence[Sample]) -> bool:
    """Whether Redis has shown the same batch for long while others were committed. Under load it is always
    a batch behind, which is no fault.
    """
    first = samples[0]
    moved_on = first.stamp != stats.view.stamp or first.seq == stats.seq
    return not stats.view.caught_up and not moved_on and stats.time_ms - first.time_ms >= STANDS_MS


def total(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def oldest(ages: Sequence[float | None]) -> float | None:
    """The largest of those that are known."""
    return short(max((age for age in ages if age is not None), default=None))


def summary(stats: Stats, samples: Sequence[Sample], score: str) -> dict[str, Any]:
    """One line of the list of shards."""
    serving = serving_slot(stats)
    own = score_of(serving.scores, score) if serving else None
    base = score_of(stats.baseline, score)
    return {
        "shard": stats.shard,
        "time_ms": stats.time_ms,
        "serving": f"{serving.name} v{serving.version}" if serving else "",
        "since_ms": stats.champion_since_ms,
        "score": short(own[0]) if own else None,
        "baseline": short(base[0]) if base else None,
        "rate": short(rate(samples, "predictions")),
        "lag": sum(stats.lag.values()) if stats.lag else None,
        "lag_s": short(stats.lag_s),
        "paused": stats.paused,
        "idle": idle(samples),
        "owner": stats.owner,
    }


def serving_slot(stats: Stats) -> SlotStats | None:
    """The model that answers."""
    return next((slot for slot in stats.slots if slot.name == stats.serving), None)


def detail(reports: Sequence[StatsAndSamples], score: str) -> dict[str, Any] | None:
    """All of these shards as one, None without any."""
    if not reports:
        return None
    all_stats = [stats for stats, _ in reports]
    serving = Counter(f"{slot.name} v{slot.version}" for stats in all_stats if (slot := serving_slot(stats)))
    stages: Counter[str] = Counter()
    for _, samples in reports:
        stages.update(shares(samples))
    return {
        "serving": serving.most_common(RANKED),
        "rates": {name: short(total([rate(samples, name) for _, samples in reports])) for name in COUNTED},
        "lag": dict(added([stats.lag for stats in all_stats])) or None,
        "lag_s": oldest([stats.lag_s for stats in all_stats]),
        "slots": slots(all_stats, score),
        "baseline": averaged([stats.baseline for stats in all_stats]),
        "labels": labels(all_stats),
        "costs": [(stage, short(share)) for stage, share in stages.most_common()],
        "drift": drifts(all_stats),
        "moved": moved(all_stats),
        "importance": important(all_stats),
        "dead_letters": dict(added([stats.dead_letters for stats in all_stats])),
        "counts": dict(added([stats.counts for stats in all_stats])),
        "entities": sum(stats.entities for stats in all_stats),
        "paused": sum(stats.paused for stats in all_stats),
        "owners": sorted({stats.owner for stats in all_stats})[:RANKED],
        "memory_bytes": dict(added([stats.memory_bytes for stats in all_stats])) or None,
        "snapshot": {
            "age_s": oldest([stats.snapshot.age_s for stats in all_stats]),
            "bytes": sum(stats.snapshot.bytes for stats in all_stats),
            "too_dear": any(stats.snapshot.too_dear for stats in all_stats),
        },
        "view_behind": sum(view_stands(stats, samples) for stats, samples in reports),
        "time_ms": max(stats.time_ms for stats in all_stats),
        "log_time_ms": max(stats.log_time_ms for stats in all_stats),
    }


def added(maps: Sequence[dict[str, int]]) -> Counter[str]:
    """Sums by name."""
    found: Counter[str] = Counter()
    for each in maps:
        found.update(each)
    return found


def averaged(reports: Sequence[dict[str, dict[str, float]]]) -> dict[str, float | None]:
    """Rolling scores weighted by how many predictions each is of; `n` is their sum."""
    rolling = [scores for report in reports if (scores := report.get("rolling", {})).get("n")]
    names = dict.fromkeys(name for scores in rolling for name in scores if name != "n")
    means: dict[str, float | None] = {
        name: short(mean([(scores[name], scores["n"]) for scores in rolling if number(scores.get(name))]))
        for name in names
    }
    return {"n": sum(scores["n"] for scores in rolling), **means}


def number(value: object) -> bool:
    """Whether it can be averaged: a score that is none yet is null."""
    return isinstance(value, int | float)


def slots(all_stats: Sequence[Stats], score: str) -> list[dict[str, Any]]:
    """Models by name and version, who serves first, then by score."""
    by_model: dict[tuple[str, int], list[tuple[Stats, SlotStats]]] = {}
    for stats in all_stats:
        for slot in stats.slots:
            by_model.setdefault((slot.name, slot.version), []).append((stats, slot))
    rows = [
        {
            "name": name,
            "version": version,
            "serves": sum(slot.name == stats.serving for stats, slot in shards),
            "shards": len(shards),
            "learned": sum(slot.learned for _, slot in shards),
            "scores": averaged([slot.scores for _, slot in shards]),
            "failed": next((slot.failed for _, slot in shards if slot.failed), None),
            "weight": short(mean([(slot.weight, 1) for _, slot in shards if slot.weight is not None])),
            "memory_bytes": total([stats.memory_bytes.get(name) for stats, _ in shards]),
        }
        for (name, version), shards in by_model.items()
    ]
    worst = float("inf")

    def rank(slot: dict[str, Any]) -> tuple[int, float]:
        value = slot["scores"].get(score)
        return -slot["serves"], worst if value is None else value if score == "mae" else -value

    return sorted(rows, key=rank)[: 2 * RANKED]


def labels(all_stats: Sequence[Stats]) -> dict[str, Any]:
    """What became of labels; delays are event time, null where no learner sends them."""
    counts, dead = (
        added([stats.counts for stats in all_stats]),
        added([stats.dead_letters for stats in all_stats]),
    )
    waiting = added([stats.waiting for stats in all_stats])
    return {
        "came": counts["labels"],
        "learned": counts["labels_learned"],
        "waiting": waiting["pending"],
        "early": waiting["parked"],
        "expired": counts["labels_expired"],
        "skipped": counts["labels_skipped"],
        "repeated": counts["duplicate_labels"],
        "late": dead["label-late"],
        "orphan": dead["label-orphan"],
        "refused": sum(n for name, n in dead.items() if name.startswith("label-")),
        "delay_s": quantiles([stats.histograms[DELAYS] for stats in all_stats if DELAYS in stats.histograms]),
    }


def quantiles(histograms: Sequence[HistogramStats]) -> list[float] | None:
    """Upper bounds of the median and the 95th percentile; None without observations."""
    if not histograms:
        return None
    bounds = histograms[0].le
    same = [one.n for one in histograms if one.le == bounds and len(one.n) == len(bounds) + 1]
    sums = [sum(column) for column in zip(*same, strict=True)]
    if not sums or not sums[-1]:
        return None
    top = bounds[-1] if bounds else 0.0
    return [
        next((le for le, n in zip(bounds, sums, strict=False) if n >= share * sums[-1]), top)
        for share in QUANTILES
    ]


def drifts(stats: Sequence[Stats]) -> list[dict[str, Any]]:
    """What detectors said last: loudest first, then newest."""
    levels = ("drift", "warning", "stable")
    found = [(one.shard, drift) for one in stats for drift in one.drift]
    found.sort(key=lambda pair: (levels.index(pair[1].level), -pair[1].at_ms))
    return [{"shard": shard, **msgspec.to_builtins(drift)} for shard, drift in found[:RANKED]]


def important(stats: Sequence[Stats]) -> list[tuple[str, float]]:
    """Features by their share of what features do to answers, the mean over the shards that know."""
    known = [dict(one.importance) for one in stats if one.importance]
    means = {name: sum(one.get(name, 0.0) for one in known) / len(known) for one in known for name in one}
    ranked = sorted(means.items(), key=lambda pair: -pair[1])
    return [(name[:200], float(f"{share:.3g}")) for name, share in ranked[:RANKED]]


def moved(stats: Sequence[Stats]) -> list[tuple[str, float]]:
    """Features by how far they moved, of several shards the furthest."""
    furthest: dict[str, float] = {}
    for one in stats:
        for name, by in one.moved:
            furthest[name] = max(by, furthest.get(name, 0.0))
    ranked = sorted(furthest.items(), key=lambda pair: -pair[1])
    return [(name[:200], float(f"{by:.4g}")) for name, by in ranked[:RANKED]]
