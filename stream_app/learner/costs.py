"""Where a shard's time goes, by stage; two readings of a clock a turn, and two a stride in one turn of 64."""

from __future__ import annotations

from collections.abc import Callable

from stream_app.ports import Clock

STEPPING = ("read", "step", "encode")
STAGES = ("poll", *STEPPING, "seal", "view", "snapshot", "publish")  # and `commit`, on a helper thread
SAMPLE = 64  # turns


class Costs:
    """`seconds` only grow. Stepping is measured whole in each turn, and shared out among its three stages as
    the newest sampled turn had them.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.parts = dict.fromkeys(STEPPING, 0.0)
        self.turns = 0
        self.at_s = self.part_at_s = 0.0

    def begin(self) -> None:
        """Start the next lap now."""
        self.at_s = self.clock.monotonic()

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to this stage."""
        now_s = self.clock.monotonic()
        self.seconds[stage] += now_s - self.at_s
        self.at_s = now_s

    def sampler(self) -> Callable[[str], None] | None:
        """Give what to call at the end of each stage in a sampled turn, None in other turns."""
        self.turns += 1
        if self.turns % SAMPLE != 1:
            return None
        self.parts = dict.fromkeys(STEPPING, 0.0)
        self.part_at_s = self.clock.monotonic()
        return self.part

    def part(self, stage: str) -> None:
        """Add the time since the previous stage of the stride to this stage."""
        now_s = self.clock.monotonic()
        self.parts[stage] += now_s - self.part_at_s
        self.part_at_s = now_s

    def stepped(self, took_s: float) -> None:
        """Share a turn's stepping time out among its stages."""
        total_s = sum(self.parts.values())
        for stage, part_s in self.parts.items():
            self.seconds[stage] += took_s * part_s / total_s if total_s else took_s / len(STEPPING)
