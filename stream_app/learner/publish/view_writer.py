"""Keeps one shard's Redis view behind its commits: coalesced, fenced by the stamp, rebuilt when lost.

    current ──behind──▶ looking ──found──▶ rebuilding ──last slice sealed──▶ current
       └──down: retried──┘  ▲                   │
                            ├─────behind, down──┘
                            └──the newer stamp is gone── fenced ◀──a newer stamp── (from anywhere)

While Redis shows a newer stamp than the committed one, nothing is written: another process owns the shard,
and Kafka refuses the commits of this one.
A rebuild first looks which blobs there are: those of entities that are gone, or of another life of the name,
are deleted. The learner never waits for Redis: what could not be written is kept by entity, newest blob only,
so memory is bounded by the number of entities.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

import orjson
import structlog

from stream_app.learner.batch.processor import SealedBatch
from stream_app.ports import Clock, View
from stream_app.state.entities import Entities

SLICE = 2_000  # entities per rebuild slice: one Lua call of a few ms
RETRY_S = 1.0
PROBE_S = 1.0  # a view that is lost while nothing is written would stay lost
FENCED_S = 5.0  # between two looks whether the newer stamp is gone
log = structlog.get_logger()


class Phase(Enum):
    """The phase of the view."""

    CURRENT = "current"  # it shows a committed batch, and newer ones are written onto it
    LOOKING = "looking"  # it is lost or behind: which blobs are there?
    REBUILDING = "rebuilding"  # slice by slice, beside the batches
    FENCED = "fenced"  # it shows a newer stamp than ours


LEGAL = {
    Phase.CURRENT: {Phase.LOOKING, Phase.FENCED},
    Phase.LOOKING: {Phase.REBUILDING, Phase.FENCED},
    Phase.REBUILDING: {Phase.CURRENT, Phase.LOOKING, Phase.FENCED},
    Phase.FENCED: {Phase.LOOKING},
}


@dataclass
class Write:
    """A call on its way to Redis, which shows batch `stamp` once one that `seals` is done."""

    outcome: Future[str]
    stamp: str = ""
    blobs: dict[str, bytes | None] = field(default_factory=dict)
    seals: bool = False
    probes: bool = False  # nothing is to be written: it only asks whether the view is still there


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
        self.phase = Phase.CURRENT if self.stored == stamp else Phase.LOOKING
        self.looking: Future[list[str] | None] | None = None
        self.left: list[str] = []  # keys of a rebuild that no slice has taken
        self.slice_uncommitted = False
        self.rebuild_reported = False  # one that starts again is not logged again
        self.write: Write | None = None
        self.retry_at_s = self.probe_at_s = 0.0

    def move(self, phase: Phase) -> None:
        """Change phase along the drawing above.

        Raises:
            RuntimeError: the drawing has no such arrow: a fault of this file.
        """
        if phase not in LEGAL[self.phase]:
            raise RuntimeError(f"a view that is {self.phase.value} cannot become {phase.value}")
        self.phase = phase

    @property
    def fenced(self) -> bool:
        return self.phase is Phase.FENCED

    @property
    def caught_up(self) -> bool:
        idle = self.write is None or self.write.probes
        return idle and self.stored == self.stamp and self.phase is Phase.CURRENT

    @property
    def keys(self) -> str:
        """A pattern of everything that Redis holds of the shard."""
        return f"{{{self.app}:{self.shard}}}:*"

    def finish(self) -> bool:
        """Write what is committed; True when the view shows it, or does not answer, or is being rebuilt."""
        self.tick(None)
        unanswered = self.retry_at_s > self.clock.monotonic()
        return self.caught_up or self.fenced or self.rebuild_reported or unanswered

    def committed(self, sealed: SealedBatch) -> None:
        """Take a committed batch's blobs; called in commit order."""
        if not self.fenced:
            self.blobs.update(sealed.blobs)
        self.stamp = sealed.view_stamp
        self.slice_uncommitted = False

    def slice(self, entities: Entities) -> dict[str, bytes | None]:
        """While rebuilding: the next entities' blobs as the state shows them, to go with the sealed batch."""
        if self.looking is not None and self.looking.done():
            found, self.looking = self.looking.result(), None
            self.begin(entities, found)
        if not self.left:
            return {}
        self.slice_uncommitted = True
        keys = list(islice(self.left, SLICE))
        del self.left[:SLICE]
        known = ((key, entities.peek(key)) for key in keys)
        return {key: orjson.dumps(entity) if entity else None for key, entity in known}

    def begin(self, entities: Entities, found: list[str] | None) -> None:
        """Write what lives and delete the rest of what Redis holds (None: it does not answer)."""
        if found is None:
            self.retry_at_s = self.clock.monotonic() + RETRY_S
            return
        self.move(Phase.REBUILDING)
        self.left = list(dict.fromkeys([*entities.keys(), *found]))
        if not self.rebuild_reported:
            log.info("view rebuild", shard=self.shard, entities=len(entities))
        self.rebuild_reported = True

    def tick(self, drained: Entities | None) -> None:
        """Collect a finished write and start the next; `drained` is the state, if nothing in it is
        uncommitted.
        """
        if self.write is not None:
            if not self.write.outcome.done():
                return
            done, self.write = self.write, None
            self.collect(done, done.outcome.result())
        if self.clock.monotonic() < self.retry_at_s:
            return
        if self.phase is Phase.FENCED:
            # Never `write`: that would seal a view which lacks what was not written meanwhile.
            self.write = Write(self.pool.submit(self.view.rebuild, self.stamp, {}, False))
            return
        if self.phase is Phase.LOOKING and self.looking is None:
            self.looking = self.pool.submit(self.view.keys)
        if drained is not None and self.phase is not Phase.CURRENT:
            self.blobs.update(self.slice(drained))
            self.slice_uncommitted = False
        if self.phase is Phase.LOOKING or self.slice_uncommitted:
            return
        if self.phase is Phase.CURRENT:
            self.write_current()
        elif self.blobs or not self.left:
            self.write_slice(seals=not self.left)

    def write_current(self) -> None:
        """Write the newest batches; where there is none, ask now and then whether the view is still there."""
        probes = self.stored == self.stamp
        if probes and self.clock.monotonic() < self.probe_at_s:
            return
        self.probe_at_s = self.clock.monotonic() + PROBE_S
        blobs, self.blobs = self.blobs, {}
        outcome = self.pool.submit(self.view.write, self.stored, self.stamp, blobs)
        self.write = Write(outcome, self.stamp, blobs, seals=True, probes=probes)

    def write_slice(self, *, seals: bool) -> None:
        """Write the next slice of a rebuild; the last one seals it."""
        blobs, self.blobs = self.blobs, {}
        outcome = self.pool.submit(self.view.rebuild, self.stamp, blobs, seals)
        self.write = Write(outcome, self.stamp, blobs, seals=seals)

    def collect(self, done: Write, outcome: str) -> None:
        """Act on what Redis answered: ok, behind, fenced or down."""
        if outcome == "down":
            self.retry_at_s = self.clock.monotonic() + RETRY_S
        if outcome == "fenced":
            self.give_way()
        elif self.phase is Phase.FENCED:
            if outcome != "down":  # the newer stamp is gone: what was missed meanwhile takes a rebuild
                self.move(Phase.LOOKING)
        elif outcome == "ok":
            if done.seals:
                self.sealed(done.stamp)
        else:
            self.blobs = {**done.blobs, **self.blobs}
            if outcome == "behind" or self.phase is Phase.REBUILDING:
                self.move(Phase.LOOKING)
                self.left = []

    def sealed(self, stamp: str) -> None:
        """Redis shows batch `stamp`, whole."""
        self.stored = stamp
        if self.phase is Phase.REBUILDING:
            self.move(Phase.CURRENT)
            log.info("view rebuilt", shard=self.shard, stamp=stamp)
        self.rebuild_reported = False

    def give_way(self) -> None:
        """Redis shows a newer stamp: write nothing, keep nothing, and look now and then."""
        self.retry_at_s = self.clock.monotonic() + FENCED_S
        self.blobs, self.left, self.looking = {}, [], None
        self.slice_uncommitted = False
        if self.phase is not Phase.FENCED:
            self.move(Phase.FENCED)
            remedy = f"if no other learner runs, something else wrote the stamp: delete the keys {self.keys}"
            log.critical("the view carries a newer stamp", shard=self.shard, ours=self.stamp, fix=remedy)
