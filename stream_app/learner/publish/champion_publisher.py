"""Publishes a shard's champion for predictors: a model that is committed, at once after a swap, else paced.

    taken (with a batch on its way) ──committed──▶ waiting ──written──▶ shown ──touched, once an interval
                                                      ▲                  │
                                                      └──Redis lost it───┘
    fenced: Redis shows a newer one. Nothing is written until that is gone; then the champion is taken again.

What predictors see is always a model that the journal contains: a champion is pickled where a batch is
sealed, before anything more is stepped, and written once that batch is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import structlog

from stream_app.application import Application
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.publish.publication import header, publish
from stream_app.learner.recovery.fingerprint import for_predictors
from stream_app.learner.recovery.time_budget import TimeBudget
from stream_app.models.calls import replies, reply
from stream_app.models.explanations.importance import Importance
from stream_app.ports import Clock, Dumped, ModelShelf
from stream_app.state.blend import BlendState
from stream_app.state.published import Published, bind_published, explain_published
from stream_app.state.shard import ShardState
from topics.life import life_of

MAX_SHARE = 0.01  # of the time: snapshots of a large model take twice as much already
EXPLAIN_SHARE = 0.002  # likewise, of a helper's time
RETRY_S = 1.0
FENCED_S = 5.0  # between two looks whether the newer one is gone
log = structlog.get_logger()


class Taken(NamedTuple):
    """A pickled champion, the batch `<epoch>:<seq>` that left it so, and when that was the newest one.

    `sealed` holds it signed, with what a copy of it answers, once a helper has made that.
    """

    stamp: str
    at_ms: int
    header: dict[str, Any]
    payload: bytes
    sealed: list[bytes]


class ChampionPublisher:
    """Call `due`, `pickle` and `capture` where a batch is sealed, `committed` after each.

    `tick` writes on a helper thread. `version` is the champion that was captured last; `error` says why the
    newest attempt failed.
    """

    def __init__(
        self,
        app: Application,
        shard: int,
        shelf: ModelShelf,
        pool: Executor,
        clock: Clock,
        fingerprint: dict[str, Any],
        interval_s: float,
    ) -> None:
        self.app, self.shard, self.shelf, self.pool, self.clock = app, shard, shelf, pool, clock
        self.fingerprint, self.life = for_predictors(fingerprint), life_of(fingerprint["topics"])
        self.interval_s = interval_s
        self.version: int | None = None
        self.left_out: set[int] = set()  # versions that are in the blend and too large to publish with it
        self.stamp = ""
        self.budget = TimeBudget(MAX_SHARE, 0.0)
        self.making: Dumped | None = None  # between `pickle` and `capture`
        self.pickled_s = 0.0
        self.taken: Taken | None = None
        self.waiting: Taken | None = None
        self.shown: Taken | None = None
        self.job: Future[str] | None = None
        self.writes: Taken | None = None
        self.retry_at_s = self.touch_at_s = 0.0
        self.fenced = False
        self.error: str | None = None
        self.importance, self.explaining = Importance(), TimeBudget(EXPLAIN_SHARE, 0.0)

    @property
    def pending(self) -> bool:
        """Whether something that predictors are to see is not written yet."""
        return self.waiting is not None or self.job is not None

    def behind(self, processor: BatchProcessor, *, more: bool) -> bool:
        """Whether there is a newer champion than the one taken last, or will be with one batch more."""
        return not self.fenced and (more or processor.stamp != self.stamp)

    def due(self, processor: BatchProcessor, now_s: float, *, more: bool) -> bool:
        """Whether to take the champion now: another one serves, or it learned and the interval is over.

        `more`: the batch that is sealed next has records.
        """
        if self.taken is not None or self.fenced:
            return False
        if processor.core.state.served_version != self.version:
            return True
        if not self.behind(processor, more=more):
            return False
        return now_s - self.budget.last_s >= self.interval_s and self.budget.due(now_s)

    def finish(self) -> bool:
        """Show what the shard leaves behind; True when that is done or cannot be. Everything is committed."""
        self.tick("")
        return not self.pending or self.retry_at_s > self.clock.monotonic()

    def pickle(self, processor: BatchProcessor) -> Mapping[int, Any]:
        """Pickle the champion at the end of the batch; gives the sets to refill before it is sealed."""
        started_s = self.clock.monotonic()
        self.making = None
        try:
            self.making = self.dump(processor)
        except Exception as error:  # a model may refuse to be stored; predictors keep the one before
            self.failed(error)
        self.pickled_s = self.clock.monotonic() - started_s
        return {} if self.making is None else self.making.layouts

    def dump(self, processor: BatchProcessor) -> Dumped:
        """Pickle what is published: of a blend the heaviest models that fit into its bound."""
        state = processor.core.state
        if self.left_out and state.blend is not None and not self.fits_still(state, state.blend):
            self.left_out.clear()
        while True:
            published = publish(self.app, processor, self.left_out)
            made = self.shelf.dump(published, published.models)
            if state.blend is None or len(made.payload) <= state.blend.mixture.rule.most_bytes:
                return made
            lightest = self.lightest(state, state.blend)
            if lightest is None:
                return made
            self.left_out.add(lightest)

    def fits_still(self, state: ShardState, blend: BlendState) -> bool:
        """Whether what is left out is still what would be: lighter than all others, and nothing has gone."""
        shown = self.shown_of(state)
        gone = self.version != state.served_version or not self.left_out <= set(blend.mixture.experts)
        heaviest = max(map(blend.weight, self.left_out))
        return bool(shown) and not gone and heaviest <= min(map(blend.weight, shown))

    def lightest(self, state: ShardState, blend: BlendState) -> int | None:
        """The model to leave out of a publication next; None where only one is left."""
        shown = self.shown_of(state)
        return min(shown, key=blend.weight) if len(shown) > 1 else None

    def shown_of(self, state: ShardState) -> list[int]:
        """The versions whose models are published."""
        models = state.blended_models(self.left_out)
        return [version for version, model in models.items() if model is not None]

    def capture(self, processor: BatchProcessor) -> None:
        """Take the pickled champion, now that its batch is sealed."""
        started_s, now_ms = self.clock.monotonic(), self.clock.now_ms()
        self.version, self.stamp = processor.core.state.served_version, processor.stamp
        making, self.making = self.making, None
        if making is not None:
            head = {**header(self.app, processor, self.fingerprint), "life": self.life}
            self.taken, self.error = Taken(processor.stamp, now_ms, head, making.payload, []), None
        now_s = self.clock.monotonic()
        self.budget.spent(now_s, self.pickled_s + now_s - started_s)

    def failed(self, error: Exception) -> None:
        """Note and log why the champion cannot be published."""
        self.error = f"{type(error).__name__}: {error}"
        log.warning("champion not published", shard=self.shard, error=self.error)

    def show(self, taken: Taken) -> str:
        """Sign it with what it answers, and show it; runs on a helper thread. A copy is asked, see `keep`.

        What becomes of it is `ok`, `fenced`, `down`, or `refused`: it cannot be loaded.
        """
        if not taken.sealed:
            try:
                copy: Published = self.shelf.copy(taken.payload)
                found = [] if copy.cold else replies(bind_published(copy, self.app.question), copy.rows)
                self.explain(copy)
            except Exception as error:
                self.failed(error)
                return "refused"
            taken.sealed.append(self.shelf.seal({**taken.header, "answers": found}, taken.payload))
        return self.shelf.put(taken.stamp, taken.at_ms, taken.sealed[0])

    def explain(self, copy: Published) -> None:
        """Explain what the copy answers to its sample rows, where that was not done lately; on the helper."""
        started_s = self.clock.monotonic()
        if copy.cold or not self.explaining.due(started_s):
            return
        question = self.app.question
        calls = bind_published(copy, question)
        try:
            explained = [explain_published(copy, row, question, reply(calls, row)) for row in copy.rows]
            version = copy.version if copy.weights is None else 0  # a blend goes on when a model joins it
            self.importance.add(version, [one for one in explained if one is not None])
        except Exception as error:  # no publication fails for what is only shown
            log.warning("champion not explained", shard=self.shard, error=f"{type(error).__name__}: {error}")
        now_s = self.clock.monotonic()
        self.explaining.spent(now_s, now_s - started_s)

    def committed(self) -> None:
        """The batch on its way is in the journal, and what was taken of it may be seen."""
        if self.taken is not None:
            self.waiting, self.taken = self.taken, None

    def tick(self, stamp: str) -> None:
        """Collect a finished write and start the next; `stamp` is the newest batch. While it is the one that
        is shown, its time is renewed once an interval: a model does not age where nothing happens.
        """
        if self.job is not None:
            if not self.job.done():
                return
            error = self.job.exception()  # of a store, perhaps: no shard fails for its predictors
            if error is not None:
                log.warning("champion cannot be published now", shard=self.shard, error=str(error))
            self.collect("down" if error is not None else self.job.result())
        now_s = self.clock.monotonic()
        if now_s < self.retry_at_s:
            return
        if self.fenced:
            if stamp:
                self.job = self.pool.submit(self.shelf.touch, stamp, self.clock.now_ms())
        elif self.waiting is not None:
            self.writes, self.waiting = self.waiting, None
            self.job = self.pool.submit(self.show, self.writes)
        elif self.shown is not None and self.shown.stamp == stamp and now_s >= self.touch_at_s:
            self.touch_at_s = now_s + self.interval_s
            self.job = self.pool.submit(self.shelf.touch, self.shown.stamp, self.clock.now_ms())

    def collect(self, outcome: str) -> None:
        """What became of a write (`writes`), or of a touch."""
        self.job = None
        written, self.writes = self.writes, None
        if self.fenced and outcome in {"ok", "behind"}:
            self.fenced, self.version, self.stamp = False, None, ""
        elif outcome == "ok":
            if written is not None:
                self.shown = written
                self.touch_at_s = self.clock.monotonic() + self.interval_s
        elif outcome == "refused":
            self.shown = None  # it is older than the champion: touching it would say that it is the newest
        elif outcome == "fenced":
            self.retry_at_s = self.clock.monotonic() + FENCED_S
            self.shown = self.waiting = None
            if not self.fenced:
                self.fenced = True
                log.critical("a newer champion is published: ours is not", shard=self.shard, ours=self.stamp)
        else:
            again = written or self.shown
            self.waiting = self.waiting or again  # a newer one makes up for both
            if outcome == "down":
                self.retry_at_s = self.clock.monotonic() + RETRY_S
