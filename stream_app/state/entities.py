"""What is known of each entity (Kafka key), bounded by a time to live in log time and by a number."""

from __future__ import annotations

from typing import Any

from mypy_extensions import mypyc_attr

Entity = list[Any]  # [log time of the last event in ms, its offset, the window state of `state.windows`]


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Entities:
    """key → entity in two generations: memory of an idle entity is freed between `ttl_ms` and twice that.

    Reads are exact all the same: an entity idle for longer than `ttl_ms` reads as unknown. Beyond `limit`
    each new entity drives out one of the old generation; `evicted` counts them.
    """

    evicted: int = 0

    def __init__(self, ttl_ms: int, limit: int) -> None:
        self.ttl_ms = ttl_ms
        self.limit = limit
        self.evicted = 0
        self.young: dict[str, Entity] = {}
        self.old: dict[str, Entity] = {}
        self.turns_at_ms = 0

    def get(self, key: str, now_ms: int) -> Entity | None:
        """The living entity, moved to the young generation; None when unknown or past its time to live."""
        if now_ms >= self.turns_at_ms:
            self.old = self.young if now_ms < self.turns_at_ms + self.ttl_ms else {}
            self.young = {}
            self.turns_at_ms = now_ms + self.ttl_ms
        entity = self.young.get(key)
        if entity is None:
            entity = self.old.pop(key, None)
            if entity is None:
                return None
            self.young[key] = entity
        last_ms: int = entity[0]
        if now_ms - last_ms > self.ttl_ms:
            del self.young[key]
            return None
        return entity

    def add(self, key: str, entity: Entity) -> str | None:
        """Take in a new entity; the key of the one that had to leave for it, if one had."""
        gone = self.evict(entity[0]) if len(self.young) + len(self.old) >= self.limit else None
        self.young[key] = entity
        return gone

    def evict(self, now_ms: int) -> str:
        """Forget one of those that were not seen since the generations last changed."""
        if not self.old:
            self.old, self.young = self.young, {}
            self.turns_at_ms = now_ms + self.ttl_ms  # else what was seen just now would be freed too early
        self.evicted += 1
        key: str = self.old.popitem()[0]
        return key

    def peek(self, key: str) -> Entity | None:
        """The stored entity whatever its age, moving nothing."""
        return self.young.get(key) or self.old.get(key)

    def drop(self, key: str) -> bool:
        """Forget the entity; True if it was known."""
        return (self.young.pop(key, None) or self.old.pop(key, None)) is not None

    def keys(self) -> list[str]:
        return [*self.young, *self.old]

    def __len__(self) -> int:
        return len(self.young) + len(self.old)
