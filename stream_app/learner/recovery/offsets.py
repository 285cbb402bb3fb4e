"""The group's committed offsets beside the journal, which decides (invariant I4).

A broker may lose the newest of them: after a restart the coordinator of Kafka 4.3 was seen to show offsets of
minutes ago, since it was unloaded while it still loaded them (ADR 4).
"""

from __future__ import annotations

import structlog

from stream_app.errors import Halted
from stream_app.learner.dependencies import Dependencies
from stream_app.learner.process_alerts import alert
from stream_app.ports import Positions, Send

log = structlog.get_logger()


def are_behind(shard: int, committed: list[int | None], positions: Positions) -> bool:
    """Whether the broker has older offsets than those at which the journal ends.

    Raises:
        Halted: they are ahead of the journal, so batches may be missing from it.
    """
    known = [(stored, end) for stored, end in zip(committed, positions, strict=True) if stored is not None]
    if any(stored > end for stored, end in known):
        raise Halted(
            f"shard {shard}: committed offsets {committed} are ahead of the journal's {positions}: the "
            "group's offsets were reset",
            "Stop every learner and run `stream-app upgrade MODULE:APP`: it sets them to the journal's",
        )
    return any(stored < end for stored, end in known)


def behind_alert(
    deps: Dependencies, shard: int, stamp: str, committed: list[int | None], positions: Positions
) -> Send:
    """Give the alert that they are; the next batch commits newer ones."""
    log.warning("offsets behind the journal", shard=shard, committed=committed, journal=positions)
    text = (
        f"shard {shard}: the broker had committed offsets {committed}, and the journal ends at {positions}, "
        "which decides: the shard goes on there"
    )
    evidence, now_ms = {"committed": committed, "journal": positions}, deps.clock.now_ms()
    cause = f"{stamp}@{now_ms}"  # it may come again before another batch
    return alert(deps.app.name, shard, cause, now_ms, "offsets-behind", text, evidence)
