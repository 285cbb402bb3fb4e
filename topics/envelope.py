"""One record as every part of the system sees it, whatever client read it."""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

# The rank breaks ties of event time: a command acts before an event, an event is predicted before a label.
COMMAND: Final = 0
EVENT: Final = 1
LABEL: Final = 2
RANKS = (COMMAND, EVENT, LABEL)
RANK_NAMES = ("commands", "events", "labels")

Headers = list[tuple[str, bytes | None]]
UNREADABLE: Headers = [("", None)]  # for headers that no client could decode; judged by identity


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Record:
    """A consumed record; `time_ms` is the Kafka record timestamp (epoch ms), the only clock of the core."""

    def __init__(
        self,
        rank: int,
        offset: int,
        time_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
    ) -> None:
        self.rank = rank
        self.offset = offset
        self.time_ms = time_ms
        self.key = key
        self.value = value
        self.headers = headers
