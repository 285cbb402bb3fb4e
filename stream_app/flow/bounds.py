"""Stage: a bound of the shard's memory is met, and weakens a promise from now on: each raises one alert."""

from __future__ import annotations

from typing import Any

from stream_app.flow.core import Core
from topics.records import OTHER


def changed(core: Core, sent: dict[str, Any], features: dict[str, Any]) -> None:
    """Count what was null; alert once of each feature that takes no further string, or of further names."""
    for name, value in sent.items():
        if value is None:
            core.state.presence.was_null(name, OTHER)
        elif name not in features:
            names_full(core)
        elif type(value) is str and value != OTHER and features[name] == OTHER:
            strings_full(core, name)


def names_full(core: Core) -> None:
    """Alert that models do not see further names."""
    if OTHER not in core.state.full:
        core.state.full[OTHER] = True
        bound = core.rules.max_names
        text = (
            f"{bound} feature names are known; models see of further ones how many an event has, as "
            f"{OTHER!r}. Write limits=Limits(max_feature_names={2 * bound}) if they matter"
        )
        core.out.alert("features-full", text, about=OTHER, max_feature_names=bound)


def strings_full(core: Core, name: str) -> None:
    """Alert that models see each further string of a feature as the same one."""
    state = core.state
    if name not in state.full:
        state.full[name] = True
        by_number = len(state.categories.get(name, ())) >= core.rules.max_categories
        limit = "max_categories" if by_number else "max_category_bytes"
        bound = core.rules.max_categories if by_number else core.max_category_bytes
        number, size = f"feature {name!r} has {bound} different strings", f"all strings have {bound} bytes"
        text = (
            f"{number if by_number else size}; each further one of {name!r} is {OTHER!r} for the models. "
            f"Write limits=Limits({limit}={2 * bound}), or "
            f"types={{{name!r}: 'text'}} if the model takes words apart by itself"
        )
        known: dict[str, Any] = {limit: bound}
        core.out.alert("features-full", text, about=name, feature=name, **known)


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
