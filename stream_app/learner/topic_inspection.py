"""Looks at the topics now and then, on the helper pool: are they still there, with settings that are safe?"""

from __future__ import annotations

from concurrent.futures import Future

from stream_app.learner.dependencies import Dependencies, Inspection

INSPECT_EVERY_S = 15.0  # what is gone is certain at the second look


class TopicInspection:
    """Asks the broker at most once at a time."""

    def __init__(self, deps: Dependencies) -> None:
        self.deps = deps
        self.asked: Future[Inspection] | None = None
        self.ask_at_s = 0.0

    def collect(self) -> Inspection | None:
        """What the broker has answered since the last call, None without an answer; asks again when due."""
        now_s = self.deps.clock.monotonic()
        if self.asked is None:
            if now_s >= self.ask_at_s:
                self.ask_at_s = now_s + INSPECT_EVERY_S
                self.asked = self.deps.pool.submit(self.deps.inspect)
            return None
        if not self.asked.done():
            return None
        answer, self.asked = self.asked.result(), None
        return answer
