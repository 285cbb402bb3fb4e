"""When to snapshot, and what proves that a loaded one is the model that was saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import structlog

from stream_app.application import Application
from stream_app.errors import Refused
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.learner.recovery.snapshot_policy import SnapshotPolicy
from stream_app.models.calls import bind, replies
from stream_app.models.digest import structural_digest
from stream_app.ports import Clock, Dumped, SnapshotStore
from stream_app.state.histogram import Histogram
from stream_app.state.shard import ShardState
from stream_app.state.slot import DECLARED, Slot
from topics.life import life_of

log = structlog.get_logger()
FORMAT = 1
WEIGHING = 0.25  # of what pickling a snapshot takes, for the sizes of its models
WEIGH_EVERY_S = 60.0
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # 1.9 s: ten grown trees
LONGEST_ERROR = 500  # characters of it in an alert
SLOW_S = 60.0  # of writing one snapshot, before an alert
TOO_LONG_TO_LEAVE_S = 2.0  # a graceful stop must be over in 5 s, so a slower snapshot is skipped then


def sample_answers(app: Application, model: Any, rows: Iterable[dict[str, Any]], *, cold: bool) -> list[str]:
    """Answers of a copy of a model to sample rows, to the bit. A cold one is not asked in the flow either."""
    return [] if cold else replies(bind(model, app.question), rows)


def answers(app: Application, state: ShardState) -> dict[str, list[str]]:
    """Give by name what each living slot of a copy answers to its sample rows."""
    rows = state.sample_rows
    return {
        slot.name: sample_answers(app, slot.model, rows, cold=slot.cold)
        for slot in state.slots
        if slot.failed is None
    }


def dumped(store: SnapshotStore, state: ShardState) -> Dumped:
    """Pickle a state."""
    return store.dump({"state": state}, [slot.model for slot in state.slots])


def save_with_answers(app: Application, store: SnapshotStore, header: dict[str, Any], payload: bytes) -> int:
    """Save a pickled state with what it answers; gives its size in bytes.

    A copy is asked: River's models change when they are asked, and only `step` may change a live one.
    """
    copy: ShardState = store.copy(payload)["state"]
    return store.save({**header, "answers": answers(app, copy)}, payload)


def restore(app: Application, header: Mapping[str, Any], load: Callable[[], Any]) -> ShardState:
    """The state of a snapshot, after the smoke test on a copy.

    Raises:
        Refused: it answers its own sample differently; use an older snapshot or replay.
    """
    if answers(app, load()["state"]) != header["answers"]:
        raise Refused(
            "the loaded models answer their sample rows differently", "An older snapshot or a replay is used"
        )
    state: ShardState = load()["state"]
    return state


def state_digest(state: ShardState) -> str:
    """Structural digest of everything a snapshot carries (models, detectors, pending, windows, dedupe)."""
    return structural_digest(state)


class Saved(NamedTuple):
    """A snapshot that is written, and how long that took."""

    seq: int
    size_bytes: int
    took_s: float


class Snapshotter:
    """Saves a shard when that is due; `seq`, `at_s` and `size_bytes` are of the newest snapshot.

    taken (pickled, and its batch sealed) ──committed──▶ writing, on a helper ──settled──▶ saved, or failed

    A snapshot is pickled where its batch is sealed, and written once that is committed. One is written at a
    time: a store that is slow or hangs makes snapshots rare, and holds up nothing else.

    `weights`: bytes of each version's model, pickled by itself within the last minutes.
    `error` says why the newest attempt failed, None where it did not.
    """

    def __init__(
        self,
        app: Application,
        shard: int,
        store: SnapshotStore,
        clock: Clock,
        fingerprint: dict[str, Any],
        journal_offset: int,
        seq: int | None,
        pool: Executor,
    ) -> None:
        self.app, self.shard, self.store, self.clock, self.fingerprint = app, shard, store, clock, fingerprint
        self.pool = pool
        self.journal_offset = journal_offset  # of the newest committed batch
        self.policy = SnapshotPolicy(app, clock.monotonic())
        self.seq, self.at_s, self.size_bytes = seq, None if seq is None else clock.monotonic(), 0
        self.seconds = Histogram(SECONDS)
        self.weights: dict[int, int] = {}
        self.weighed_at_s = 0.0
        self.error: str | None = None
        self.making: Dumped | None = None  # between `pickle` and `capture`
        self.pickled_s = 0.0
        self.taken: tuple[dict[str, Any], bytes | None] | None = None  # waits for its batch to be committed
        self.writing: Future[Saved] | None = None
        self.writing_since_s = 0.0
        self.ended = self.slow = False  # an attempt ended without a write; a write takes too long

    def worked(self, seconds: float, records: int) -> None:
        """Account for what a replay would have to step again."""
        self.policy.worked(seconds, records)

    def due(self, now_s: float) -> bool:
        """Whether the next batch should be kept."""
        return self.writing is None and self.taken is None and self.policy.due(now_s)

    @property
    def cheap(self) -> bool:
        """Whether there is something to save that fits into a graceful stop."""
        return self.writing is None and self.policy.records > 0 and self.policy.cost_s <= TOO_LONG_TO_LEAVE_S

    def pickle(self, processor: BatchProcessor) -> Mapping[int, Any]:
        """Pickle the state at the end of the current batch; gives the sets to refill before it is sealed."""
        started_s = self.clock.monotonic()
        self.making = None
        try:
            self.making = dumped(self.store, processor.core.state)
        except Exception as error:
            self.failed(error)
        self.pickled_s = self.clock.monotonic() - started_s
        return {} if self.making is None else self.making.layouts

    def capture(self, processor: BatchProcessor) -> None:
        """The batch is sealed: finish what was pickled; `committed` writes it once that batch is."""
        started_s = self.clock.monotonic()
        payload, making, self.making = None, self.making, None
        if making is not None:
            try:
                payload = making.payload
                self.weigh(processor.core.state, self.pickled_s)
            except Exception as error:
                self.failed(error)
        self.taken = header(self.app, self.shard, processor, self.fingerprint), payload
        now_s = self.clock.monotonic()
        self.policy.taken(now_s, self.pickled_s + now_s - started_s)

    def weigh(self, state: ShardState, took_s: float) -> None:
        """Pickle models by themselves, those that were never weighed or not for the longest time first.

        A large one costs as much as its snapshot, for a number: one that is known may be a minute old.
        """
        started_s = self.clock.monotonic()
        known = all(slot.version in self.weights for slot in state.slots)
        if known and started_s - self.weighed_at_s < WEIGH_EVERY_S:
            return
        self.weighed_at_s = started_s
        order = {version: place for place, version in enumerate(self.weights)}
        for slot in sorted(state.slots, key=lambda slot: order.get(slot.version, -1)):
            self.weights.pop(slot.version, None)
            self.weights[slot.version] = len(self.store.dump(None, [slot.model]).payload)
            if self.clock.monotonic() - started_s > WEIGHING * took_s:
                break
        living = {slot.version for slot in state.slots}
        self.weights = {version: size for version, size in self.weights.items() if version in living}

    def committed(self, journal_offset: int) -> None:
        """The batch on its way is in the journal: what was taken of it is written now, on a helper."""
        self.journal_offset = journal_offset
        if self.taken is None:
            return
        (head, payload), self.taken = self.taken, None
        if payload is None:
            self.seconds.observe(self.policy.cost_s)
            self.ended = True
            return
        self.writing_since_s = self.clock.monotonic()
        self.writing = self.pool.submit(self.write, {**head, "journal_offset": journal_offset}, payload)

    def write(self, head: dict[str, Any], payload: bytes) -> Saved:
        """On a helper: write it with what a copy answers, and remove what it replaces."""
        started_s = self.clock.monotonic()
        size_bytes = save_with_answers(self.app, self.store, head, payload)
        return Saved(head["seq"], size_bytes, self.clock.monotonic() - started_s)

    def collect_write(self) -> bool:
        """Whether there is news of an attempt: it was saved, failed (`error`), or its write takes too long.

        A store that fails (disk full) costs recovery time, never correctness.
        """
        ended, self.ended = self.ended, False
        if self.writing is None:
            return ended
        took_s = self.clock.monotonic() - self.writing_since_s
        if not self.writing.done():
            if self.slow or took_s <= SLOW_S:
                return False
            self.slow, self.error = True, f"the snapshot store has not answered for {SLOW_S:.0f} s"
            return True
        writing, self.writing, self.slow = self.writing, None, False
        try:
            saved = writing.result()
            self.seq, self.size_bytes, took_s = saved
            self.at_s, self.error = self.clock.monotonic(), None
        except Exception as error:
            self.failed(error)
        self.policy.saved(took_s)
        self.seconds.observe(self.policy.cost_s)
        return True

    def failed(self, error: Exception) -> None:
        """Note and log why the attempt failed."""
        self.error = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
        log.error("snapshot failed", shard=self.shard, exc_info=error)


def header(
    app: Application, shard: int, processor: BatchProcessor, fingerprint: dict[str, Any]
) -> dict[str, Any]:
    """What a snapshot says of itself, but for the `journal_offset` of the batch (epoch, seq, digest).

    `versions` live in it, `serving` is the one that answers, None in a blend; `served` may have answered.
    `swaps` counts all so far.
    """
    state = processor.core.state
    return {
        "format": FORMAT,
        "app": app.name,
        "shard": shard,
        "epoch": processor.epoch,
        "seq": processor.seq,
        "digest": processor.digest,
        "positions": list(processor.positions),
        "fingerprint": fingerprint,
        "life": life_of(fingerprint["topics"]),
        "versions": [slot.version for slot in state.slots],
        "serving": state.champion_version if state.blend is None else None,
        "served": [slot.version for slot in state.slots if may_have_served(state, slot)],
        "swaps": state.counters.swaps,
    }


def may_have_served(state: ShardState, slot: Slot) -> bool:
    """Whether a model has answered events: all but a candidate that waits for evidence."""
    served = slot.version in (state.champion_version, state.champion_before)
    return served or slot.kind == DECLARED or state.blend is not None
