"""Alerts about publications that were not taken over; their ids make one of what several workers see."""

from __future__ import annotations

import asyncio
from typing import Any

from stream_app.ports import Clock
from stream_app.predictor.feedback import Feedback
from topics.alerts import ALERTS, runbook

MOST_WAITING = 100


class Refusals:
    """`tell` takes one from wherever it is seen, `write` brings them into `<app>.alerts`."""

    def __init__(self, app: str, clock: Clock) -> None:
        self.app, self.clock = app, clock
        self.waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_WAITING)

    def tell(self, shard: int, stamp: str, why: str) -> None:
        """One alert about a shard's publication; beyond the bound the log alone tells."""
        kind = "publication-refused"
        alert = {
            "v": 1,
            "alert_id": f"{self.app}/{shard}/{kind}/{stamp}",
            "type": kind,
            "severity": ALERTS[kind].severity,
            "shard": shard,
            "time_ms": self.clock.now_ms(),
            "message": f"predictors keep the model before {stamp}: {why}",
            "evidence": {"stamp": stamp, "why": why},
            "runbook": runbook(kind),
        }
        if not self.waiting.full():
            self.waiting.put_nowait(alert)

    async def write(self, feedback: Feedback) -> None:
        """Until cancelled."""
        while True:
            alert = await self.waiting.get()
            await feedback.connected.wait()
            await feedback.alert(alert["shard"], alert)
