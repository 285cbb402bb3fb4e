"""Which features come with an event, so that one that stays away is noticed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from mypy_extensions import mypyc_attr

BLOCK: Final = 32  # events that were looked at, of which the share of each name is taken
MOST_NAMES: Final = 64
USUAL: Final = 0.9  # of a block: from then on the name is expected
RARE: Final = 0.5  # of a block: an expected name is missed


class Missed(NamedTuple):
    """A name that is expected and came with `share` of a block; `usual`: it came before."""

    name: str
    share: float
    usual: bool


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Presence:
    """Counts in how many of the newest events each name is, the first 64; `declared` ones are expected.

    `nulls`: how often a feature was null, in all events; beyond 64 names all others are one.
    """

    def __init__(self, declared: Iterable[str]) -> None:
        self.n = 0
        self.counts: dict[str, int] = dict.fromkeys(declared, 0)
        self.expected: dict[str, bool] = dict.fromkeys(self.counts, False)  # name → has it come?
        self.missed: dict[str, bool] = {}
        self.nulls: dict[str, int] = {}

    def was_null(self, name: str, others: str) -> None:
        """Count one null."""
        counted = name if name in self.nulls or len(self.nulls) < MOST_NAMES else others
        self.nulls[counted] = self.nulls.get(counted, 0) + 1

    def look(self, features: Mapping[str, Any]) -> float | None:
        """Count one event; the share of the expected names that it lacks, None where none is expected."""
        counts, expected = self.counts, self.expected
        for name in features:
            n = counts.get(name)
            if n is not None:
                counts[name] = n + 1
            elif len(counts) < MOST_NAMES:
                counts[name] = 1
        self.n += 1
        if not expected:
            return None
        lacking = 0
        for name in expected:
            if name not in features:
                lacking += 1
        return lacking / len(expected)

    def end_block(self) -> list[Missed]:
        """After each `BLOCK` events: the names that are missed now and were not before."""
        found: list[Missed] = []
        if self.n < BLOCK:
            return found
        for name, n in self.counts.items():
            share = n / self.n
            came = self.expected.get(name)
            if came is not None and (share < RARE if came else n == 0):
                if name not in self.missed:
                    found.append(Missed(name, share, came))
                self.missed[name] = True
            elif share >= RARE:
                self.missed.pop(name, None)
            if share >= USUAL:
                self.expected[name] = True
            self.counts[name] = 0
        self.n = 0
        return found
