"""What a shard knows of names, types, strings and classes; only what the champion has learned is kept.

The first record decides nothing by itself. A type that no learned row has confirmed gives way to another one;
a row or a label that the champion cannot learn leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from stream_app.state.shard import ShardState
from topics.records import KINDS as kinds  # noqa: N811  compiled, what is final here is at hand
from topics.records import OTHER

KINDS: Final = kinds
MANY: Final = 20  # contradictions of one name, before most of the newest can be said
MOST: Final = 0.5
LABEL: Final = ""  # stands for the classes, where a feature has its name
NONE: Final[dict[str, bool]] = {}
MANY_STRINGS: Final = 1_000  # of one feature, beyond which it is probably an id


def n_bytes(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def drop(state: ShardState, name: str) -> None:
    """Forget the strings of one feature."""
    for text in state.categories.pop(name, NONE):
        state.category_bytes -= n_bytes(text)


def took(state: ShardState, features: dict[str, Any], offset: int, texts: Container[str]) -> list[str]:
    """Enter the names, types and strings of an event that passed every check; of `texts` no string is kept.

    Gives the features whose different strings are more than `MANY_STRINGS` with this event.
    """
    kinds = state.kinds
    many: list[str] = []
    for name, value in features.items():
        kind = KINDS[type(value)]
        if name == OTHER:
            continue
        if kinds.get(name) != kind:  # new, or a type that was never learned
            kinds[name] = kind
            state.unproven[name] = state.type_from[name] = offset
        if kind == "string" and name not in texts:
            seen = state.categories.get(name)
            if seen is None:
                seen = state.categories[name] = {}
            if value not in seen:
                seen[value] = False
                state.category_bytes += n_bytes(value)
                if len(seen) == MANY_STRINGS + 1:
                    many.append(name)
    return many


def learned(state: ShardState, row: dict[str, Any]) -> None:
    """The champion has learned a row: its types and strings stay."""
    for name in [name for name in state.unproven if name in row] if state.unproven else ():
        if state.kinds.get(name) == KINDS.get(type(row[name])):
            del state.unproven[name]
    if not state.categories:
        return
    for name, value in row.items():
        if type(value) is str and value in state.categories.get(name, NONE):
            state.categories[name][value] = True


def forget(state: ShardState, row: dict[str, Any]) -> None:
    """The champion could not learn a row: what only such rows have brought goes."""
    for name in [name for name in state.unproven if name in row]:
        if state.kinds.get(name) == KINDS.get(type(row[name])):
            del state.unproven[name], state.kinds[name], state.type_from[name]
            drop(state, name)
    for name, value in row.items():
        if type(value) is str and state.categories.get(name, NONE).get(value) is False:
            del state.categories[name][value]
            state.category_bytes -= n_bytes(value)


def contradiction(state: ShardState, name: str) -> tuple[int, float] | None:
    """Count an event that contradicts the type of a feature, or a label that does the classes (`LABEL`).

    Gives how many did and their share of the newest events or labels, once that is most of them. Labels that
    come inside of events are as many as those.
    """
    counters = state.counters
    records = max(counters.events, counters.labels) if name == LABEL else counters.events
    odd = state.contradicted.get(name)
    if odd is None:
        odd = state.contradicted[name] = [0, records - 1]
    odd[0] += 1
    share = odd[0] / max(1, records - odd[1])
    if odd[0] < MANY:
        return None
    found = (odd[0], share) if share > MOST else None
    if odd[0] >= 10 * MANY:  # judge the newest ones
        del state.contradicted[name]
    return found
