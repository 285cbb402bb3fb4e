"""One record as every part of the system sees it, whatever client read it."""

from __future__ import annotations

from typing import Any

import msgspec

# The rank breaks ties of event time: a command acts before an event, an event is predicted before a label.
COMMAND, EVENT, LABEL = 0, 1, 2
RANKS = (COMMAND, EVENT, LABEL)
RANK_NAMES = ("commands", "events", "labels")

Headers = list[tuple[str, bytes | None]]
UNREADABLE: Headers = [("", None)]  # stands for headers that no client could decode; judged by identity


class Versioned(msgspec.Struct):
    """Any record, as far as its version."""

    v: Any = 1


class Record(msgspec.Struct, gc=False):
    """A consumed record; `time_ms` is the Kafka record timestamp (epoch ms), the only clock of the core."""

    rank: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
