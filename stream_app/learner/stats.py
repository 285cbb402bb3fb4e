"""One record per shard and wall second: what the operator sees; in the transaction, outside the digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_app.learner.machine import Machine
from stream_app.learner.merge import Merge
from stream_app.learner.publisher import Publisher
from stream_app.learner.snapshots import Saver
from topics.envelope import RANK_NAMES, RANKS


def shard_stats(
    machine: Machine, merge: Merge, publisher: Publisher, saver: Saver, *,
    time_ms: int, now_s: float, owner: str, replayed: int, cost_s: Mapping[str, float],
) -> dict[str, Any]:  # fmt: skip
    """Counts, scores per slot (cumulative and rolling), labels and cost; ages in s, sizes in bytes."""
    state = machine.core.state
    return {
        "v": 1,
        "shard": state.shard,
        "time_ms": time_ms,
        "owner": owner,
        "epoch": machine.epoch,
        "seq": machine.seq,
        "log_time_ms": state.log_time_ms,
        "counts": state.counters.as_dict(),
        "dead_letters": dict(state.dead_by_reason),
        "waiting": {"pending": len(state.pending), "parked": len(state.parked)},
        "entities": len(state.entities),
        "ids": len(state.ids),
        "paused": state.paused,
        "serving": state.serving,
        "slots": [
            {
                "name": slot.name, "version": slot.version, "learned": slot.learned, "failed": slot.failed,
                "scores": slot.scores.report(),
            }
            for slot in state.slots
        ],
        "baseline": state.baseline.report(),
        "repredicted": {"served": state.gap_served.report(), "again": state.gap_again.report()},
        "positions": dict(zip(RANK_NAMES, machine.positions, strict=True)),
        "merge_waits_for": [RANK_NAMES[rank] for rank in merge.waiting_for()],
        "buffered": {RANK_NAMES[rank]: merge.buffered(rank) for rank in RANKS},
        "replayed_batches": replayed,
        "view": {"stamp": publisher.stored, "caught_up": publisher.caught_up},
        "snapshot": {
            "seq": saver.seq,
            "age_s": None if saver.at_s is None else now_s - saver.at_s,
            "bytes": saver.size_bytes,
            "cost_s": saver.schedule.cost_s,
            "too_dear": saver.schedule.breached,
        },
        "cost_s": dict(cost_s),
    }  # fmt: skip
