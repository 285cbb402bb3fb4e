"""Stage: a bound of the shard's memory is met, and weakens a promise from now on: each raises one alert."""

from __future__ import annotations

from typing import Any

from stream_app.flow.core import Core
from stream_app.state import vocabulary
from topics import reasons
from topics.codec import Rejected


def strings_fault(core: Core, features: dict[str, Any]) -> Rejected | None:
    """A fault where an event's new strings do not fit beside those of all events; its types are right."""
    bound = core.app.limits.max_category_bytes
    new = vocabulary.new_bytes(core.state, features)
    if not new or core.state.category_bytes + new <= bound:
        return None
    text = f"the different strings of all features would pass {bound} bytes; raise max_category_bytes"
    return Rejected(reasons.BAD_FEATURE, text)


def rows_expire_early(core: Core) -> None:
    """Alert that more rows wait for labels than may."""
    limits, waiting = core.app.limits, core.state.pending
    by_number = len(waiting) + 1 >= limits.max_pending  # one of them has just left
    name = "max_pending" if by_number else "max_waiting_bytes"
    bound = limits.max_pending if by_number else limits.max_waiting_bytes
    what = f"{bound} rows" if by_number else f"rows of {bound} bytes"
    text = f"{what} wait for labels; the oldest expire early. Raise {name} or shorten the horizon"
    known: dict[str, Any] = {name: bound}
    core.out.alert("pending-full", text, **known)


def ids_go_early(core: Core) -> None:
    """Alert that ids are forgotten within the dedupe window."""
    bound = core.app.limits.max_ids
    text = (
        f"more than {bound} event ids came within dedupe: the oldest are forgotten early, and an event that "
        "is repeated after that is predicted and learned again. Raise max_ids or shorten dedupe"
    )
    core.out.alert("ids-full", text, max_ids=bound)


def entities_go_early(core: Core) -> None:
    """Alert that an entity had to leave for a new one."""
    bound = core.app.limits.max_entities
    text = (
        f"{bound} entities are known; for each new one another is forgotten before its ttl, and its features "
        "start from zero. Raise max_entities or shorten ttl"
    )
    core.out.alert("entities-full", text, max_entities=bound)
