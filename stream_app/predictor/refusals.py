"""Alerts about publications that were not taken over; their ids make one of what several workers see."""

from __future__ import annotations

import asyncio

from stream_app.ports import Clock
from stream_app.predictor.feedback import Feedback
from topics.alerts import run_alert
from topics.records import Alert

MOST_WAITING = 100


class Refusals:
    """`add` queues one from wherever it is seen, `write` writes them to `<app>.alerts`."""

    def __init__(self, app: str, clock: Clock) -> None:
        self.app, self.clock = app, clock
        self.waiting: asyncio.Queue[Alert] = asyncio.Queue(MOST_WAITING)

    def add(self, shard: int, stamp: str, why: str) -> None:
        """One alert about a shard's publication; beyond the bound it is only in the log."""
        kind = "publication-refused"
        text, evidence = f"predictors keep the model before {stamp}: {why}", {"stamp": stamp, "why": why}
        alert = run_alert(self.app, shard, kind, stamp, self.clock.now_ms(), text, evidence)
        if not self.waiting.full():
            self.waiting.put_nowait(alert)

    async def write(self, feedback: Feedback) -> None:
        """Until cancelled."""
        while True:
            alert = await self.waiting.get()
            await feedback.connected.wait()
            await feedback.alert(alert)
