"""Candidates that answer too slowly. The core knows no time: what is measured here becomes a command.

The order to drop a slow candidate goes into `<app>.commands` with the transaction that carries the
statistics, and comes back through the log like an operator's: a replay obeys it without any clock.
What is measured are the answers that the flow asks for anyway: a question of our own would change a model.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Any

import msgspec

from stream_app.flow.core import Core
from stream_app.models.calls import Answer, Calls
from stream_app.ports import Clock, Send
from stream_app.state.blend import BlendState
from stream_app.state.slot import DECLARED, Slot
from topics.records import Command

NEWEST = 64  # answers of each version that are remembered
ENOUGH = 32  # with fewer nothing is decided
SMALLEST_S = 0.0005  # an answer below half a millisecond is never too slow


class LatencyGuard:
    """Times the answers of a race, and orders each version that is too slow away, once."""

    def __init__(self, core: Core, clock: Clock) -> None:
        self.core, self.clock = core, clock
        self.ordered: set[int] = set()
        self.seconds: dict[int, deque[float]] = {}
        core.instrument = self.watch
        core.rebind()

    def watch(self, version: int, calls: Calls) -> Calls:
        """Wrap a version's calls to time each answer."""
        seconds = self.seconds.setdefault(version, deque(maxlen=NEWEST))
        predict, now = calls.predict, self.clock.monotonic

        def timed(row: dict[str, Any]) -> Answer:
            started_s = now()
            try:
                return predict(row)
            finally:
                seconds.append(now() - started_s)

        return Calls(timed, calls.learn_one, labelled=calls.labelled)

    def slow(self) -> list[tuple[Slot, float, str]]:
        """Candidates that are too slow, how many times they are, and why."""
        state = self.core.state
        if state.blend is not None:
            return self.dear(state.blend)
        if not state.policy.open:
            self.seconds.clear()
            return []
        champion_s = self.answer_s(state.champion_version)
        found: list[tuple[Slot, float, str]] = []
        for slot in state.slots:
            took_s = self.answer_s(slot.version)
            if slot.version not in state.policy.races or champion_s is None or took_s is None:
                continue
            times = took_s / max(champion_s, 1e-9)
            if took_s > SMALLEST_S and times > self.core.app.swap.max_slowdown:
                found.append((slot, times, f"answers {times:.0f} times slower than the champion"))
        return found

    def dear(self, blend: BlendState) -> list[tuple[Slot, float, str]]:
        """The same of a blend: whose part of the time is more than `max_slowdown` times its weight.

        Judged once it has learned for the blend's `patience`: a newcomer has hardly any weight.
        """
        state = self.core.state
        total_s = sum(self.answer_s(slot.version) or 0.0 for slot in state.slots)
        found: list[tuple[Slot, float, str]] = []
        for slot in state.slots:
            took_s = self.answer_s(slot.version)
            young = slot.learned < blend.mixture.rule.patience
            if slot.kind == DECLARED or slot.name == state.serving or young or (took_s or 0.0) <= SMALLEST_S:
                continue
            part, weight = (took_s or 0.0) / total_s, blend.weight(slot.version)
            if part > self.core.app.swap.max_slowdown * weight:
                why = f"takes {part:.0%} of the time for a weight of {weight:.3f}"
                found.append((slot, part / max(weight, 1e-9), why))
        return found

    def answer_s(self, version: int) -> float | None:
        """Median seconds of its newest answers; None while there are too few."""
        seconds = self.seconds.get(version, ())
        return median(seconds) if len(seconds) >= ENOUGH else None

    def orders(self) -> list[tuple[Slot, float, str, Send]]:
        """A drop command for each slow candidate, once; with how many times it is too slow, and why."""
        state, found = self.core.state, []
        for slot, times, why in self.slow():
            if slot.version in self.ordered:
                continue
            self.ordered.add(slot.version)
            command_id = f"{self.core.app.name}/{state.shard}/slow/{slot.version}"
            command = Command(
                command_id,
                "drop",
                actor="learner",
                reason=f"it {why}",
                shard=state.shard,
                version=slot.version,
            )
            send = Send("commands", command_id.encode(), msgspec.json.encode(command))
            found.append((slot, times, why, send))
        return found
