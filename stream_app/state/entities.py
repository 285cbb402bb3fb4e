"""What is known of each entity (Kafka key), bounded by a time to live in log time."""

from __future__ import annotations

from typing import Any

from mypy_extensions import mypyc_attr

Entity = list[Any]  # [log time of the last event in ms, its offset, the window state of `state.windows`]


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Entities:
    """key → entity in two generations: memory of an idle entity is freed between `ttl_ms` and twice that.

    Reads are exact all the same: an entity idle for longer than `ttl_ms` reads as unknown.
    """

    def __init__(self, ttl_ms: int) -> None:
        self.ttl_ms = ttl_ms
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

    def add(self, key: str, entity: Entity) -> None:
        self.young[key] = entity

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
