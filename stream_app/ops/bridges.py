"""Watches whether records wait for a bridge that nobody runs, which no bridge can say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from stream_app.errors import StreamAppError
from stream_app.ops.intake import AlertIntake
from stream_app.ops.notification import ENDED

BRIDGE_SILENT = "bridge-silent"
log = structlog.get_logger()


class Condition(Protocol):
    """What is asked of a bridge; see `stream_app.inspect.bridge_condition`."""

    members: int
    behind: dict[str, int]

    @property
    def lag(self) -> int: ...


class BridgeWatch:
    """Raises `bridge-silent` once records of an application have waited for `silent_s` without a bridge.

    `look` asks the broker, which takes a while; it runs on a thread.
    """

    def __init__(self, intake: AlertIntake, look: Callable[[], Condition | None], silent_s: float) -> None:
        self.intake, self.look, self.silent_s = intake, look, silent_s
        self.since_ms: int | None = None

    async def check(self, now_ms: Callable[[], int], ready: Callable[[], bool]) -> None:
        """Look once, and judge while this process still owns the tables."""
        try:
            found = await asyncio.to_thread(self.look)
        except Exception as error:  # a client may raise anything; alerts must go on
            why = error.message if isinstance(error, StreamAppError) else f"{type(error).__name__}: {error}"
            log.warning("the bridge cannot be looked at", app=self.intake.app, why=why)
            return
        if found is not None and ready():
            self.judge(found, now_ms())

    def judge(self, found: Condition, now_ms: int) -> None:
        """Begin an alert, or end it: by a bridge that runs, or by nothing left to copy."""
        began = self.intake.standing.get(BRIDGE_SILENT)
        if found.members or not found.lag:
            self.since_ms = None
            if began is not None:
                name = began.alert_id.rpartition("/")[2]
                evidence = {ENDED: began.alert_id, "members": found.members}
                text = "a bridge runs again" if found.members else "nothing waits to be copied any more"
                self.intake.notice(BRIDGE_SILENT, 0, text, evidence, f"{name}/ended", now_ms)
            return
        if self.since_ms is None:
            self.since_ms = now_ms
        waited_s = round((now_ms - self.since_ms) / 1000)
        if began is None and waited_s >= self.silent_s:
            text = f"{found.lag:,} records wait to be copied, and no bridge has run for {waited_s} s"
            self.intake.notice(BRIDGE_SILENT, 0, text, {"behind": found.behind}, str(self.since_ms), now_ms)
