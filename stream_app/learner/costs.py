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
        """The next lap starts now."""
        self.at_s = self.clock.monotonic()

    def lap(self, stage: str) -> None:
        """What passed since the last lap was this stage."""
        now_s = self.clock.monotonic()
        self.seconds[stage] += now_s - self.at_s
        self.at_s = now_s

    def sampler(self) -> Callable[[str], None] | None:
        """In a turn whose stages are told apart: what to call at the end of each."""
        self.turns += 1
        if self.turns % SAMPLE != 1:
            return None
        self.parts = dict.fromkeys(STEPPING, 0.0)
        self.part_at_s = self.clock.monotonic()
        return self.part

    def part(self, stage: str) -> None:
        """The end of one stage of one stride."""
        now_s = self.clock.monotonic()
        self.parts[stage] += now_s - self.part_at_s
        self.part_at_s = now_s

    def stepped(self, took_s: float) -> None:
        """A turn's stepping is over."""
        total_s = sum(self.parts.values())
        for stage, part_s in self.parts.items():
            self.seconds[stage] += took_s * part_s / total_s if total_s else took_s / len(STEPPING)
