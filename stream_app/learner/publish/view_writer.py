"""Keeps one shard's Redis view behind its commits: coalesced, fenced by the stamp, rebuilt when lost.

    current ──behind──▶ looking ──found──▶ rebuilding ──last slice sealed──▶ current
       │ ▲                 ▲                    │
     down └──retry──┐      └──────down, retry───┘
       ▼            │
     waiting ───────┘      fenced, from anywhere ──the newer stamp is gone──▶ looking

While Redis shows a newer stamp than the committed one, nothing is written: either another process owns the
shard, and then Kafka refuses the commits of this one, or the journal was restored from before the stamp.
A rebuild first looks which blobs there are: those of entities that are gone, or of another life of the name,
are deleted. The learner never waits for Redis: what could not be written is kept by entity, newest blob only,
so memory is bounded by the number of entities.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from itertools import islice

import orjson
import structlog

from stream_app.learner.batch.processor import Closed
from stream_app.ports import Clock, View
from stream_app.state.entities import Entities

SLICE = 2_000  # entities per rebuild slice: one Lua call of a few ms
RETRY_S = 1.0
PROBE_S = 1.0  # a view that is lost while nothing is written would stay lost
FENCED_S = 5.0  # between two looks whether the newer stamp is gone
log = structlog.get_logger()


class ViewWriter:
    """Blobs wait in `blobs` until a write is free; `stamp` is the newest committed batch they belong to."""

    def __init__(
        self, view: View, pool: Executor, clock: Clock, app: str, shard: int, stamp: str, stored: str | None
    ) -> None:
        self.view = view
        self.pool = pool
        self.clock = clock
        self.app = app
        self.shard = shard
        self.stored = stored or ""
        self.stamp = stamp
        self.blobs: dict[str, bytes | None] = {}
        self.looking: Future[list[str] | None] | None = None
        self.rebuilding: list[str] | None = None
        self.wants_rebuild = self.stored != stamp
        self.whole = True  # as far as it was told; a rebuild that begins anew is the same one for a person
        self.slice_uncommitted = False
        self.job: Future[str] | None = None
        self.job_blobs: dict[str, bytes | None] = {}
        self.job_stamp = ""
        self.job_seals = False
        self.retry_at_s = self.probe_at_s = 0.0
        self.probing = self.fenced = False

    @property
    def caught_up(self) -> bool:
        return (
            (self.job is None or self.probing)
            and self.stored == self.stamp
            and not self.wants_rebuild
            and self.rebuilding is None
            and not self.fenced
        )

    def finish(self) -> bool:
        """Write what is committed; True when the view shows it, or does not answer, or is being rebuilt."""
        self.tick(None)
        return self.caught_up or self.fenced or not self.whole or self.retry_at_s > self.clock.monotonic()

    def committed(self, closed: Closed) -> None:
        """Take a committed batch's blobs; called in commit order."""
        if not self.fenced:
            self.blobs.update(closed.blobs)
        self.stamp = closed.stamp
        self.slice_uncommitted = False

    def slice(self, entities: Entities) -> dict[str, bytes | None]:
        """While rebuilding: the next entities' blobs as the state shows them, to go with the sealed batch."""
        if self.wants_rebuild and self.looking is not None and self.looking.done():
            found, self.looking = self.looking.result(), None
            self.begin(entities, found)
        if not self.rebuilding:
            return {}
        self.slice_uncommitted = True
        keys = list(islice(self.rebuilding, SLICE))
        del self.rebuilding[:SLICE]
        known = ((key, entities.peek(key)) for key in keys)
        return {key: orjson.dumps(entity) if entity else None for key, entity in known}

    def begin(self, entities: Entities, found: list[str] | None) -> None:
        """It is known what Redis holds: write what lives and delete the rest."""
        if found is None:
            self.retry_at_s = self.clock.monotonic() + RETRY_S
            return
        self.rebuilding, self.wants_rebuild = list(dict.fromkeys([*entities.keys(), *found])), False
        if self.whole:
            log.info("view rebuild", shard=self.shard, entities=len(entities))
        self.whole = False

    def tick(self, drained: Entities | None) -> None:
        """Collect a finished write and start the next; `drained` is the state, if nothing in it is
        uncommitted.
        """
        if self.job is not None:
            if not self.job.done():
                return
            self.collect(self.job.result())
        if self.clock.monotonic() < self.retry_at_s:
            return
        if self.fenced:
            # Never `write`: that would seal a view which lacks what was not written meanwhile.
            self.job = self.pool.submit(self.view.rebuild, self.stamp, {}, False)
            return
        if self.wants_rebuild and self.looking is None:
            self.looking = self.pool.submit(self.view.keys)
        if drained is not None and (self.wants_rebuild or self.rebuilding):
            self.blobs.update(self.slice(drained))
            self.slice_uncommitted = False
        if self.wants_rebuild or self.slice_uncommitted:
            return
        self.probing = self.rebuilding is None and self.stored == self.stamp
        if self.probing and self.clock.monotonic() < self.probe_at_s:
            return
        self.probe_at_s = self.clock.monotonic() + PROBE_S
        self.job_blobs, self.blobs, self.job_stamp = self.blobs, {}, self.stamp
        if self.rebuilding is None:
            self.job = self.pool.submit(self.view.write, self.stored, self.stamp, self.job_blobs)
        elif self.job_blobs or not self.rebuilding:
            self.job_seals = not self.rebuilding
            self.job = self.pool.submit(self.view.rebuild, self.stamp, self.job_blobs, self.job_seals)

    def collect(self, outcome: str) -> None:
        self.job, self.probing = None, False
        if outcome == "fenced":
            self.drop()
        elif self.fenced:
            self.come_back(outcome)
        elif outcome == "ok":
            if self.rebuilding is None or self.job_seals:
                self.stored, self.rebuilding, self.job_seals = self.job_stamp, None, False
                if not self.whole:
                    log.info("view rebuilt", shard=self.shard, stamp=self.stored)
                self.whole = True
        else:
            self.blobs = {**self.job_blobs, **self.blobs}
            self.job_seals = False
            if outcome == "behind" or self.rebuilding is not None:
                self.wants_rebuild, self.rebuilding = True, None
            if outcome == "down":
                self.retry_at_s = self.clock.monotonic() + RETRY_S

    @property
    def keys(self) -> str:
        """A pattern of everything that Redis holds of the shard."""
        return f"{{{self.app}:{self.shard}}}:*"

    def drop(self) -> None:
        """Redis shows a newer stamp: write nothing, keep nothing, and look now and then."""
        self.retry_at_s = self.clock.monotonic() + FENCED_S
        self.blobs, self.job_blobs, self.rebuilding, self.job_seals = {}, {}, None, False
        self.slice_uncommitted = self.wants_rebuild = False
        self.looking = None
        if not self.fenced:
            self.fenced = True
            remedy = (
                "if no other learner runs, the journal was restored from before it: delete the keys "
                f"{self.keys}"
            )
            log.critical("the view carries a newer stamp", shard=self.shard, ours=self.stamp, fix=remedy)

    def come_back(self, outcome: str) -> None:
        """The newer stamp is gone: what was missed meanwhile takes a rebuild."""
        if outcome == "down":
            self.retry_at_s = self.clock.monotonic() + RETRY_S
            return
        self.fenced, self.wants_rebuild = False, True
