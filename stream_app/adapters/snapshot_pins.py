"""Which snapshots stay because a version that served has ended behind them: it can be had back from there.

Beside such a snapshot lies a note, `<its name>.ended`: when that was found, and which versions ended. It is
no part of any record, so no digest knows of it (ADR 22).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from stream_app.adapters.durable_files import ShardFiles, list_names, read_whole, write_durably

SUFFIX = ".ended"
MOST = 8  # snapshots of a shard that stay for this
DAYS = 7.0
DAY_MS = 86_400_000
Header = Mapping[str, Any]


def ended(older: Header, newer: Header) -> list[int]:
    """The versions that served at one snapshot and not at a later one: gone, or replaced by another.

    Headers of earlier releases say nothing of versions, so none has ended between them.

    >>> ended({"serving": 1, "served": [1, 2]}, {"serving": 4, "served": [1, 2, 4]})
    [1]
    >>> ended({"serving": 4, "served": [1, 4]}, {"serving": 4, "served": [4]})
    [1]
    >>> ended({}, {"serving": 4, "served": [4]})
    []

    A version may have come and gone between the two; then the one that served before and after it stands
    for both.

    >>> ended({"serving": 1, "served": [1], "swaps": 3}, {"serving": 1, "served": [1], "swaps": 4})
    [1]
    """
    gone = set(older.get("served") or ()) - set(newer.get("served") or ()) if "served" in newer else set()
    serving = older.get("serving")
    swapped = newer.get("swaps", 0) > older.get("swaps", newer.get("swaps", 0))
    if serving is not None and (newer.get("serving", serving) != serving or swapped):
        gone.add(serving)
    return sorted(gone)


class Pins:
    """The notes of one shard's snapshots. At most `most` snapshots stay, each for `days`.

    `read` gives the header of a snapshot that is whole, else None.
    """

    def __init__(
        self,
        files: ShardFiles,
        most: int,
        days: float,
        read: Callable[[str], Header | None],
        now_ms: Callable[[], int],
    ) -> None:
        self.files, self.most, self.kept_ms, self.read, self.now_ms = files, most, days * DAY_MS, read, now_ms
        self.newest: tuple[str, Header] | None = None  # what this process saved last

    def saved(self, name: str, header: Header) -> set[str]:
        """A snapshot was saved: note what ended since the one before it; gives the names that stay.

        Raises: what the file system raises; what stays is not known then.
        """
        life = self.files.life_in(name)
        names = [one for one in self.files.names() if self.files.life_in(one) == life]
        before = max((one for one in names if one < name), default=None)
        known, self.newest = self.newest, (name, header)
        if before is not None and self.most:
            older = known[1] if known is not None and known[0] == before else self.read(before)
            if older is not None and (versions := ended(older, header)):
                self.note(before, versions)
        return self.staying(names)

    def note(self, name: str, versions: list[int]) -> None:
        """Write that these versions ended behind a snapshot."""
        written = orjson.dumps({"at_ms": self.now_ms(), "versions": versions})
        write_durably(self.files.fs, self.files.folder, f"{name}{SUFFIX}", written)

    def staying(self, names: list[str]) -> set[str]:
        """The snapshots among `names`, newest first, that stay; notes that are of no more use are removed."""
        noted = {
            one.removesuffix(SUFFIX)
            for one in list_names(self.files.fs, self.files.folder)
            if one.endswith(SUFFIX) and not one.startswith(".")
        }
        since_ms = self.now_ms() - self.kept_ms
        own = [name for name in names if name in noted]
        stay = [name for name in own if self.noted_ms(name) >= since_ms][: self.most]
        everything = set(self.files.names())
        for name in noted:
            if (name in own and name not in stay) or name not in everything:
                self.files.fs.rm_file(f"{self.files.folder}/{name}{SUFFIX}")
        return set(stay)

    def noted_ms(self, name: str) -> int:
        """When a note was written; 0 of one that cannot be read."""
        try:
            note = orjson.loads(read_whole(self.files.fs, f"{self.files.folder}/{name}{SUFFIX}"))
            return int(note["at_ms"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0
