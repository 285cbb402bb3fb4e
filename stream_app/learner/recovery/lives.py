"""One life of an application's name after another: what a recovery does with what an earlier one left.

Topics that were deleted and created again begin a new life. Its snapshots and Redis keys say so (`life_of`);
those of earlier lives are left aside, and reported once, with the first epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from stream_app.errors import Halted, ShardFailed
from stream_app.learner.dependencies import Dependencies
from stream_app.learner.process_alerts import alert
from stream_app.ports import Send, SnapshotStore, View
from topics.life import life_of

NAMED = 10  # files in an alert
log = structlog.get_logger()


def replaced(found: Mapping[str, str], recorded: Mapping[str, str]) -> list[str]:
    """Topics that have another id than was recorded; one that is missing now may come back."""
    return [name for name, topic_id in found.items() if recorded.get(name, topic_id) != topic_id]


def require_same_inputs(shard: int, found: Mapping[str, str], fingerprint: Mapping[str, Any]) -> None:
    """Whether the inputs are still those that this process has looked at when it started.

    Raises:
        ShardFailed: they were created again meanwhile; the loop ends the process, which starts again.
    """
    if names := replaced(found, fingerprint["topics"]):
        raise ShardFailed(
            f"shard {shard}: {', '.join(names)} was deleted and created again under this learner",
            "Start the learner again, if nothing does so by itself",
        )


def refuse_lost_history(
    app: str, shard: int, store: SnapshotStore, view: View, recorded: Mapping[str, str]
) -> None:
    """Halt if snapshots or the view are of a journal over these very inputs, which is empty now.

    Raises:
        Halted: it was lost. To begin again would predict and learn every retained record once more.
        Unreachable: the store gives no answer.
    """
    life = life_of(recorded)
    known = any(life in name for name in store.names()) or view.wrote() == life
    if known or any(head["fingerprint"]["topics"] == recorded for head, _ in store.load()):
        keys = f"'{{{app}:{shard}}}:*'"
        raise Halted(
            f"shard {shard} has a history over these input topics (in {store.folder} or in Redis), but its "
            "journal is empty",
            "If `stream-app restore` was cut off, run it again. Else restore the journal topic from a backup."
            " Only if all that is retained shall be predicted and learned once more: "
            f"`mv {store.folder} {store.folder}.old; redis-cli --scan --pattern {keys} | "
            "xargs -r redis-cli del`, and start again",
        )


def left_aside(
    deps: Dependencies, shard: int, store: SnapshotStore, view: View, recorded: Mapping[str, str]
) -> list[Send]:
    """The alert about what an earlier life of the name left; empty where there is nothing.

    Raises:
        Unreachable: the store gives no answer.
    """
    life, files, keys = life_of(recorded), store.left_over(), view.wrote() is not None
    if not files and not keys:
        return []
    parts = {f"{len(files)} snapshots in {store.folder}": bool(files), "its keys in Redis": keys}
    left = " and ".join(part for part, there in parts.items() if there)
    text = (
        f"shard {shard} begins a new life: its topics were deleted and created again. What an earlier life "
        f"left is not used: {left}"
    )
    log.warning("an earlier life is left aside", shard=shard, snapshots=len(files), redis=keys)
    evidence = {"snapshots": files[:NAMED], "folder": store.folder, "redis": keys, "life": life}
    now_ms = deps.clock.now_ms()
    return [alert(deps.app.name, shard, life, now_ms, "earlier-life", text, evidence)]
