"""The ops process: starting → standby ⇄ serving, and what runs only while it serves.

One process of a group owns all tables. Another one waits, its boards empty, until the owner is gone; an owner
that loses them ends, since what it holds in memory is another's from then on.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn, Protocol

import faust
import structlog
from faust.contrib.asgi import faust_app_running

from stream_app.ops.bridges import BridgeWatch
from stream_app.ops.delivery import Delivery
from stream_app.ops.faust_app import DurableTable
from stream_app.ops.intake import AlertIntake
from stream_app.ops.silences import Silences

WATCH_S = 1.0
LOOK_S = 10.0  # between two looks at the bridges: each asks the broker
STOP_S = 2.0  # SIGTERM is answered within 5 s; a broker that does not answer must not hold it up
BUFFERED = 10_000  # changes of tables on their way; Faust would warn over 100
LOST = 75  # exit code: start again
log = structlog.get_logger()


class ProcessCounts(Protocol):
    """What the process counts."""

    def owns(self, *, owner: bool) -> None: ...

    def recovered(self, seconds: float) -> None: ...


async def flushed(tables: Sequence[DurableTable]) -> None:
    """Return when every change of these tables is in its changelog."""
    await asyncio.gather(*(table.flushed() for table in tables))


def abort(error: BaseException) -> NoReturn:
    """End at once and without a commit: what was read is read again by the next process."""
    log.critical("ops ends", error=f"{type(error).__name__}: {error}")
    os._exit(LOST)


class OpsProcess:
    """Everything of one process; `exit_code` is what it should end with."""

    def __init__(
        self,
        app: faust.App,
        intakes: Mapping[str, AlertIntake],
        deliveries: Sequence[Delivery],
        tables: Sequence[DurableTable],
        silences: Silences,
        counts: ProcessCounts,
        clock: Any,
        silent_s: float,
        bridges: Sequence[BridgeWatch] = (),
    ) -> None:
        self.app, self.intakes, self.deliveries, self.tables = app, intakes, deliveries, tables
        self.silences, self.counts, self.clock, self.silent_s = silences, counts, clock, silent_s
        self.bridges = bridges
        self.state = "starting"
        self.restored = False
        self.exit_code = 0
        self.began_s = clock.monotonic()
        app.on_partitions_revoked.connect(self.revoked)
        app.on_partitions_assigned.connect(self.assigned)
        tables[0].on_recover(self.recovered)

    @property
    def ready(self) -> bool:
        """Whether the tables are here and whole."""
        return self.state == "serving"

    async def flushed(self) -> None:
        """Return when every change of a table is in its changelog."""
        await flushed(self.tables)

    async def revoked(self, *_: Any, **__: Any) -> None:
        """A rebalance begins: nothing is sent until it is over."""
        self.pause("starting")

    async def assigned(self, *args: Any, **__: Any) -> None:
        """A rebalance has given these partitions, perhaps none."""
        assigned = args[-1]
        self.began_s = self.clock.monotonic()
        self.app.producer.buffer.max_messages = BUFFERED
        if not assigned and self.restored:
            abort(ConnectionError("another process took the tables"))

    async def recovered(self) -> None:
        """The tables are as the changelogs say; they may be nobody's here."""
        if not self.app.consumer.assignment():
            self.pause("standby")
            log.info("standby", group=self.app.conf.id)
            return
        now_ms = self.clock.now_ms()
        if not self.restored:
            self.silences.restore()
            for intake in self.intakes.values():
                intake.restore(now_ms)
            self.restored = True
        seconds = self.clock.monotonic() - self.began_s
        self.state = "serving"
        self.counts.owns(owner=True)
        self.counts.recovered(seconds)
        for delivery in self.deliveries:
            delivery.active.set()
        log.info(
            "serving", group=self.app.conf.id, applications=list(self.intakes), seconds=round(seconds, 3)
        )

    def pause(self, state: str) -> None:
        self.state = state
        self.counts.owns(owner=False)
        for delivery in self.deliveries:
            delivery.active.clear()

    async def watch(self) -> None:
        """Once a second: silent shards, and Faust's own end."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self.app.crashed or self.app.should_stop:
                self.exit_code = LOST
                log.critical("Faust ended", error=repr(self.app.crash_reason))
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if not self.ready:
                continue
            now_ms = self.clock.now_ms()
            self.silences.expire(now_ms)
            for intake in self.intakes.values():
                intake.watch(now_ms, self.silent_s)
            await self.flushed()

    async def watch_bridges(self) -> None:
        """Now and then: bridges that should run."""
        while self.bridges:
            await asyncio.sleep(LOOK_S)
            for bridge in self.bridges if self.ready else ():
                await bridge.check(self.clock.now_ms, lambda: self.ready)
                await self.flushed()

    async def unending(self, work: Callable[[], Awaitable[None]]) -> None:
        """A fault in what runs beside the agents ends the process: half of it is worse than none."""
        try:
            await work()
        except Exception as error:
            log.exception("background work failed")
            abort(error)

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Of the HTTP server: Faust and deliveries run beside it."""
        async with faust_app_running(self.app, discover=False, stop_timeout=STOP_S), self.background():
            yield

    @asynccontextmanager
    async def background(self) -> AsyncIterator[None]:
        """Deliveries and the watches."""
        works = [*(delivery.run for delivery in self.deliveries), self.watch, self.watch_bridges]
        tasks = [asyncio.ensure_future(self.unending(work)) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for delivery in self.deliveries:
                await delivery.channel.close()
