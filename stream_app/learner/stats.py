"""One record per shard and wall second: what the operator sees; outside the digest, inside the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from topics.envelope import RANK_NAMES, RANKS

if TYPE_CHECKING:
    from stream_app.learner.shard import Shard


def shard_stats(shard: Shard, now_s: float) -> dict[str, Any]:
    """Counts, scores per slot (cumulative and rolling), label accounting and cost; ages in seconds, sizes in bytes."""
    state, machine, outside = shard.machine.core.state, shard.machine, shard.outside
    report: dict[str, Any] = {
        "v": 1,
        "shard": shard.number,
        "time_ms": outside.clock.now_ms(),
        "owner": outside.tuning.owner,
        "epoch": machine.epoch,
        "seq": machine.seq,
        "log_time_ms": state.log_time_ms,
        "counts": msgspec.structs.asdict(state.counters),
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
        "merge_waits_for": [RANK_NAMES[rank] for rank in shard.merge.waiting_for()] if shard.told_waiting else [],
        "buffered": {RANK_NAMES[rank]: shard.merge.buffered(rank) for rank in RANKS},
        "replayed_batches": shard.replayed,
        "view": {"stamp": shard.publisher.stored, "caught_up": shard.publisher.caught_up},
        "snapshot": {
            "seq": shard.snapshot_seq,
            "age_s": None if shard.snapshot_at_s is None else now_s - shard.snapshot_at_s,
            "bytes": shard.snapshot_bytes,
            "cost_s": shard.schedule.cost_s,
            "too_dear": shard.schedule.breached,
        },
        "cost_s": {"step": shard.step_s, "commit": shard.commit_s},
    }  # fmt: skip
    return report
