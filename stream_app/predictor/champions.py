"""Which champion each shard answers with; a better one replaces it between two requests.

Requests hold the `Champion` that they began with, so a swap is one assignment and no request sees half of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from stream_app.application import Application
from stream_app.errors import Refused, Unreachable
from stream_app.ports import ServingTelemetry, ServingView
from stream_app.predictor.champion import Champion, Open, accept
from topics.batch_id import parse

Report = Callable[[int, str, str], None]  # shard, stamp and why a publication was refused
log = structlog.get_logger()


class Champions:
    """`current[shard]` is the newest champion that passed, `at_ms[shard]` when it was the newest one."""

    def __init__(
        self,
        app: Application,
        fingerprint: Mapping[str, Any],
        view: ServingView,
        open_sealed: Open,
        telemetry: ServingTelemetry,
        report: Report,
    ) -> None:
        self.app, self.fingerprint, self.view = app, fingerprint, view
        self.open_sealed, self.telemetry, self.report = open_sealed, telemetry, report
        self.current: list[Champion | None] = [None] * app.shards
        self.at_ms = [0] * app.shards
        self.refused: list[str | None] = [None] * app.shards  # the stamp that was refused last
        self.why: list[str] = [""] * app.shards  # it was: logged once, though another comes every second
        self.away = ""  # why the view does not answer
        self.taking: dict[int, asyncio.Task[None]] = {}  # by shard, what is read and verified now

    @property
    def ready(self) -> bool:
        """Every shard has a verified model."""
        return all(self.current)

    async def refresh(self) -> None:
        """See what is newly published, and begin to adopt it; one of a shard at a time.

        That is not waited for: a store that hangs, or a large model, must hold up neither the other shards
        nor the news that Redis is back.

        Raises:
            Unreachable: the view does not answer now; what is here stays.
        """
        for shard, shown in enumerate(await self.view.shown()):
            if shown is None or shard in self.taking:
                continue
            stamp, at_ms = shown
            mine, newest = self.current[shard], parse(stamp)
            if newest is None:
                if stamp != self.refused[shard]:
                    why = "its stamp in Redis is not <epoch>:<seq>:<life>: no learner wrote it"
                    self.refuse(shard, stamp, why)
                continue
            batch, life = newest
            if mine is not None and life == mine.life and batch <= mine.batch:
                if batch == mine.batch:
                    self.at_ms[shard] = max(self.at_ms[shard], at_ms)
                    self.serves(mine)
                continue  # an older one is what a restored Redis remembers
            if stamp == self.refused[shard]:
                continue
            self.taking[shard] = asyncio.create_task(self.try_adopt(shard, stamp, at_ms))

    async def try_adopt(self, shard: int, stamp: str, at_ms: int) -> None:
        """Adopt one; errors are logged, never raised."""
        try:
            await self.adopt(shard, stamp, at_ms)
        except Unreachable as error:  # of this model alone: a store, or a large value
            log.warning("champion cannot be read now", shard=shard, stamp=stamp, why=error.message)
        except Exception:
            log.exception("taking a champion over failed", shard=shard, stamp=stamp)
        finally:
            del self.taking[shard]

    async def wait_until_adopted(self) -> None:
        """All that is begun is taken over or refused."""
        await asyncio.gather(*self.taking.values())

    async def adopt(self, shard: int, stamp: str, at_ms: int) -> None:
        """Verify one on a thread, since loading may take long, and let it answer from now on."""
        sealed = await self.view.sealed(shard)
        if sealed is None:
            log.warning("champion is not where Redis says", shard=shard, stamp=stamp)
            return
        try:
            champion = await asyncio.to_thread(
                accept, self.app, shard, self.fingerprint, sealed, self.open_sealed
            )
        except Refused as refusal:
            self.refuse(shard, stamp, refusal.message, refusal.remedy)
            return
        batch, life = parse(stamp) or (champion.batch, champion.life)
        if champion.life != life or champion.batch < batch:
            signed = champion.batch.of_life(champion.life)
            which = "newer than" if champion.life == life else "of another life than"
            self.refuse(shard, stamp, f"its stamp in Redis is {which} the signed one, {signed}")
            return
        self.why[shard] = ""
        before = self.current[shard]
        self.current[shard], self.at_ms[shard] = champion, at_ms
        self.serves(champion)
        if before is None or before.published.version != champion.published.version:
            published = champion.published
            log.info(
                "champion",
                shard=shard,
                model=published.name,
                version=published.version,
                learned=published.learned,
            )

    def refuse(self, shard: int, stamp: str, why: str, remedy: str = "") -> None:
        """Do not look at it again; log and raise an alert once for a reason."""
        self.refused[shard] = stamp
        self.telemetry.refused(shard)
        if why != self.why[shard]:
            self.why[shard] = why
            log.critical("publication refused", shard=shard, stamp=stamp, why=f"{why}. {remedy}".strip())
            self.report(shard, stamp, why)

    def lacking(self, shard: int | None = None) -> tuple[str, str]:
        """Why a shard, or some shard, has no model, and what to do."""
        lacks = [place for place, champion in enumerate(self.current) if champion is None]
        place = shard if shard is not None else next(iter(lacks), 0)
        message = f"shard {place} has no verified model yet"
        if self.away:
            return (
                f"{message}: {self.away}",
                "Start Redis, or correct STREAM_APP_REDIS__URL; `stream-app doctor` says what it finds",
            )
        if self.why[place]:
            return f"{message}: a publication was refused, {self.why[place]}", "See its alert"
        return message, "Start a learner (`stream-app learn`), or wait for it"

    def serves(self, champion: Champion) -> None:
        """Into the metrics."""
        published = champion.published
        self.telemetry.serves(
            champion.shard, published.version, published.learned, self.at_ms[champion.shard]
        )


async def keep_fresh(champions: Champions, every_s: float, reachable: Callable[[bool], None]) -> None:
    """Until cancelled: refresh, and say whether the view answered."""
    while True:
        try:
            await champions.refresh()
            reachable(True)
            if champions.away:
                log.info("the view answers again")
            champions.away = ""
        except Unreachable as error:
            reachable(False)
            if error.message != champions.away:
                log.warning("the view does not answer", why=error.message)
            champions.away = error.message
        except Exception:
            log.exception("refreshing the champions failed")
        await asyncio.sleep(every_s)
