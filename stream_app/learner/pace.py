"""Candidates that answer too slowly. The core knows no time: what is measured here becomes a command.

The order to drop a slow candidate goes into `<app>.commands` with the transaction that carries the
statistics, and comes back through the log like an operator's: a replay obeys it without any clock.
"""

from __future__ import annotations

import msgspec

from stream_app.flow.core import Core
from stream_app.models.calls import Calls, ModelFault
from stream_app.ports import Clock, Send
from stream_app.state.shard import Slot
from topics.records import Command

PASSES = 5  # over the sample rows; the fastest counts, for a busy machine only ever makes slower
SMALLEST_S = 0.0005  # an answer below half a millisecond is never too slow


class Pace:
    """Remembers which versions are ordered to go, so that each is ordered once."""

    def __init__(self, core: Core, clock: Clock) -> None:
        self.core, self.clock = core, clock
        self.ordered: set[int] = set()

    def slow(self) -> list[tuple[Slot, float]]:
        """Candidates in a race that take `max_slowdown` times as long as the champion, and how many times."""
        state = self.core.state
        if not state.policy.open or not state.sample_rows:
            return []
        champion_s = self.answer_s(self.core.calls[0][1])
        found: list[tuple[Slot, float]] = []
        for slot, calls in self.core.calls[1:]:
            if slot.version not in state.policy.races or slot.version in self.ordered:
                continue
            took_s = self.answer_s(calls)
            if took_s > SMALLEST_S and took_s > self.core.app.swap.max_slowdown * champion_s:
                found.append((slot, took_s / max(champion_s, 1e-9)))
        return found

    def answer_s(self, calls: Calls) -> float:
        """Seconds for one answer."""
        rows = self.core.state.sample_rows
        best_s = float("inf")
        for _ in range(PASSES):
            started_s = self.clock.monotonic()
            for row in rows:
                try:
                    calls.predict(row)
                except ModelFault:
                    return 0.0  # the core meets the fault itself
            best_s = min(best_s, self.clock.monotonic() - started_s)
        return best_s / len(rows)

    def orders(self) -> list[tuple[Slot, float, Send]]:
        """A drop command for each slow candidate, once."""
        state, found = self.core.state, []
        for slot, times in self.slow():
            self.ordered.add(slot.version)
            command_id = f"{self.core.app.name}/{state.shard}/slow/{slot.version}"
            command = Command(
                command_id, "drop", actor="learner", reason=f"it answers {times:.0f} times slower",
                shard=state.shard, version=slot.version,
            )  # fmt: skip
            found.append((slot, times, Send("commands", command_id.encode(), msgspec.json.encode(command))))
        return found
