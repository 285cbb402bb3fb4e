"""One record per shard and wall second, ten seconds without input: what the operator sees.

It is written in the transaction, outside the digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drift.signals import LOSS
from stream_app.learner.batch.merge import Merge
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.publish.view_writer import ViewWriter
from stream_app.learner.recovery.snapshots import Snapshotter
from stream_app.models.digest import structural_digest
from stream_app.state.blend import BLEND
from stream_app.state.histogram import Histogram
from stream_app.state.shard import ShardState
from topics.batch_id import without_digest
from topics.envelope import RANK_NAMES, RANKS
from topics.records import DriftStats, SlotStats, SnapshotStats, Stats, ViewStats

MOST_MOVED = 20  # features


def definition_of(fingerprint: Mapping[str, Any]) -> str:
    """The hash of the definition that a fingerprint is of, as `definition_hash` makes it of one on disk."""
    return structural_digest([fingerprint.get("definition"), fingerprint.get("sources")])[:16]


def shard_stats(
    processor: BatchProcessor,
    merge: Merge,
    view_writer: ViewWriter,
    snapshotter: Snapshotter,
    *,
    time_ms: int,
    now_s: float,
    owner: str,
    replayed: int,
    cost_s: Mapping[str, float],
    ends: Sequence[int | None],
    seconds: Mapping[str, Histogram],
    definition: str,
    importance: list[tuple[str, float]],
) -> Stats:
    """Counts, scores per slot (cumulative and rolling), labels and cost; ages in s, sizes in bytes.

    `ends`: how far each input is known to be written; `seconds`: the loop's own histograms, by name.
    """
    state = processor.core.state
    waits, weights = lag(merge, processor.positions, ends), snapshotter.weights
    return Stats(
        shard=state.shard,
        time_ms=time_ms,
        owner=owner,
        epoch=processor.epoch,
        seq=processor.seq,
        log_time_ms=state.log_time_ms,
        counts=state.counters.as_dict(),
        dead_letters=dict(state.dead_by_reason),
        missing=dict(state.presence.nulls),
        waiting={"pending": len(state.pending), "parked": len(state.parked)},
        entities=len(state.entities),
        ids=len(state.ids),
        paused=state.paused,
        serving=processor.core.served.name,
        slots=slots_of(state),
        baseline=state.baseline.report(),
        repredicted={"served": state.gap_served.report(), "again": state.gap_again.report()},
        positions=dict(zip(RANK_NAMES, processor.positions, strict=True)),
        merge_waits_for=[RANK_NAMES[rank] for rank in merge.waiting_for()],
        buffered={RANK_NAMES[rank]: merge.buffered(rank) for rank in RANKS},
        replayed_batches=replayed,
        view=ViewStats(without_digest(view_writer.stored), view_writer.caught_up),
        snapshot=SnapshotStats(
            snapshotter.seq,
            None if snapshotter.at_s is None else now_s - snapshotter.at_s,
            snapshotter.size_bytes,
            snapshotter.policy.cost_s,
            snapshotter.policy.breached,
        ),
        cost_s=dict(cost_s),
        lag=waits,
        lag_s=lag_s(merge, time_ms, waits),
        histograms={
            "label_delay_seconds": state.vigil.delays.report(),
            **{name: found.report() for name, found in seconds.items()},
        },
        drift=levels(state),
        moved=state.monitors.ranking(MOST_MOVED),
        importance=importance,
        memory_bytes={slot.name: weights[slot.version] for slot in state.slots if slot.version in weights},
        champion_since_ms=state.vigil.champion_since_ms or None,
        definition=definition,
        forgotten={"ids": state.ids.evicted, "entities": state.entities.evicted},
    )


def slots_of(state: ShardState) -> list[SlotStats]:
    """Every slot; a blend, which answers, stands first, as the newest version that is in it."""
    blend = state.blend
    found = [
        SlotStats(
            slot.name,
            slot.version,
            slot.learned,
            slot.failed,
            slot.scores.report(),
            None if blend is None else blend.weight(slot.version),
        )
        for slot in state.slots
    ]
    if blend is not None:
        learned, scores = state.champion.learned, blend.slot.scores.report()
        found.insert(0, SlotStats(BLEND, state.served_version, learned, None, scores, 1.0))
    return found


def lag(merge: Merge, positions: Sequence[int], ends: Sequence[int | None]) -> dict[str, int]:
    """Records by input that are written, as far as is known without asking, and not applied."""
    found = {}
    for rank in RANKS:
        last = merge.last(rank)
        written = max(ends[rank] or 0, 0 if last is None else last + 1)
        found[RANK_NAMES[rank]] = max(0, written - positions[rank])
    return found


def lag_s(merge: Merge, time_ms: int, lag: Mapping[str, int]) -> float | None:
    """Age of the oldest record that is not applied, by its own stamp; None while none of them is here yet."""
    stamps = [oldest for rank in RANKS if (oldest := merge.oldest_ms(rank)) is not None]
    if stamps:
        return max(0.0, (time_ms - min(stamps)) / 1000)
    return None if any(lag.values()) else 0.0


def levels(state: ShardState) -> list[DriftStats]:
    """What each signal's detectors said last, without calm ones of models that are gone."""
    records = state.counters.events + state.counters.labels
    names = {slot.name for slot in state.slots}
    return [
        one
        for one in state.vigil.levels(state.log_time_ms, records)
        if one.level != "stable" or one.signal != LOSS or one.name in names
    ]
