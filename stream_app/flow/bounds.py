"""Stage: a bound of the shard's memory is met, and weakens a promise from now on: each is told once."""

from __future__ import annotations

from stream_app.flow.core import Core
from stream_app.flow.outputs import Output
from topics.envelope import Record


def rows_expire_early(core: Core, record: Record, out: list[Output]) -> None:
    """More rows wait for labels than may."""
    bound = core.app.limits.max_pending
    text = f"{bound} rows wait for labels; the oldest expire early. Raise max_pending or shorten the horizon"
    core.alert(out, record.offset, "pending-full", "warning", text, max_pending=bound)


def ids_go_early(core: Core, record: Record, out: list[Output]) -> None:
    """Ids are forgotten within the dedupe window."""
    bound = core.app.limits.max_ids
    text = (
        f"more than {bound} event ids came within dedupe: the oldest are forgotten early, and an event that "
        "is repeated after that is predicted and learned again. Raise max_ids or shorten dedupe"
    )
    core.alert(out, record.offset, "ids-full", "warning", text, max_ids=bound)


def entities_go_early(core: Core, record: Record, out: list[Output]) -> None:
    """An entity had to leave for a new one."""
    bound = core.app.limits.max_entities
    text = (
        f"{bound} entities are known; for each new one another is forgotten before its ttl, and its features "
        "begin anew. Raise max_entities or shorten ttl"
    )
    core.alert(out, record.offset, "entities-full", "warning", text, max_entities=bound)
