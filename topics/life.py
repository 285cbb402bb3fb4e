"""The identity of one life of an application's name: which input topics it reads.

A broker gives a topic an id when it creates it, so topics that were deleted and created again under their
old names have other ids. By it the snapshots and Redis keys of an earlier life can be recognised.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b


def life_of(topic_ids: Mapping[str, str]) -> str:
    """Twelve hex digits that name the life: a hash of the input topics' ids by name.

    >>> life_of({"a.events": "1", "a.labels": "2"}) == life_of({"a.labels": "2", "a.events": "1"})
    True
    >>> life_of({"a.events": "1"}) == life_of({"a.events": "3"})
    False
    """
    named = "\n".join(f"{name} {topic_ids[name]}" for name in sorted(topic_ids))
    return blake2b(named.encode(), digest_size=6).hexdigest()
