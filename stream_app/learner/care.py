"""Careful mode: how a shard gets past a record at which it crashes, the process with it or not (ADR 17).

             ┌──the life before crashed──▶ careful: one record for each transaction; at the third attempt
     start ──┤                                │      at one record, that becomes a dead letter
             │                                │ all records under suspicion are passed
             └────────────────────────────▶ proving: batches that grow ──caught up, or far enough──▶ proven

A life is what goes live until it fails or ends. Before it is proven, what it is about to step is announced in
the journal, in a transaction before, and is stepped only once the batch before is committed. So whatever ends
a life that is not proven, the records at fault are among those that it announced last. One that is proven
announces nothing. Whether a life ended while records were stepped, the process itself knows, or the marks
that its supervisor keeps: an end at any other moment is never held against a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from stream_app.learner.batch.journal import by_name, encode
from stream_app.learner.batch.merge import Run
from stream_app.learner.batch.processor import BatchProcessor, SealedBatch
from stream_app.learner.process_alerts import alert
from stream_app.learner.step_marks import RESTING, STEPPING, StepMarks
from stream_app.ports import Commit, Send
from topics.envelope import RANK_NAMES
from topics.journal import AttemptRecord, RefilledSets

FIRST_SIZE = 128  # records of a life's first batch; each one after it is twice as large
MOST_ATTEMPTS = 3  # at one record; the third is its dead letter
MOST_FAILURES = 3  # of a shard at one batch for reasons outside of it, before an alert says so


class Failures(msgspec.Struct):
    """How the lives of a shard ended; `error` names what ended the newest one, if it was in this process.

    `blamed`: it crashed while it stepped records. Of the other ends, by a broker that was away or by a signal
    for example, `n` came after batch `stamp`, and `spared` is the attempt that the newest of them broke off:
    it counts for nothing. `at_rest`: the previous process ended while it stepped no record. `reported`: an
    alert says so.
    """

    blamed: bool = False
    at_rest: bool = False
    error: str = ""
    stamp: str = ""
    n: int = 0
    spared: AttemptRecord | None = None
    reported: bool = False

    def note(self, care: Care, error: str) -> None:
        """Add the end of one life."""
        self.error = error
        self.blamed = care.stepping or (self.blamed and not care.proven)
        if care.stepping:
            self.spared = None
            return
        self.spared = care.announced or self.spared
        if self.stamp != care.stamp:
            self.stamp, self.n, self.reported = care.stamp, 0, False
        self.n += 1


class Care:
    """What a life may step next; `held` are records that wait until their announcement is committed.

    `stepping`: what is raised now comes from the records, not from a server. `stamp` is of the newest
    committed batch, `suspects` counts the records that may have crashed the life before.
    """

    def __init__(
        self,
        processor: BatchProcessor,
        batch_records: int,
        failures: Failures,
        marks: StepMarks | None = None,
    ) -> None:
        self.processor, self.batch_records, self.failures = processor, batch_records, failures
        self.marks = marks or StepMarks()
        last = processor.attempts[-1] if processor.attempts else None
        if failures.at_rest:
            failures.spared, failures.at_rest = last, False
        self.suspects = FIRST_SIZE if failures.blamed else 0
        if last is not None and (last.record or last != failures.spared):
            self.suspects = last.records
        if not failures.blamed:
            self.marks.set(processor.core.state.shard, RESTING)
        # The life before stepped no record beyond two batches: one on its way, one being stepped.
        self.unproven = 2 * batch_records
        self.batch = FIRST_SIZE
        self.held: list[Run] = []
        self.announced: AttemptRecord | None = None
        self.on_its_way = 0
        self.stepping = False
        self.stamp = processor.stamp

    @property
    def proven(self) -> bool:
        """Whether records need not be announced."""
        return self.unproven <= 0

    @property
    def careful(self) -> bool:
        """Whether the shard takes one record at a time."""
        return self.suspects > 0

    @property
    def size(self) -> int:
        """How many records may be taken together."""
        return self.batch_records if self.proven else 1 if self.careful else self.batch

    def holds(self, runs: list[Run]) -> bool:
        """Whether these records must be announced first; then they are held."""
        if self.proven or self.announced is not None:
            return False
        self.held = runs
        return True

    def announcement(self) -> Commit:
        """Give the transaction that announces the held records."""
        processor, record, number = self.processor, None, 1
        if self.careful:
            ((rank, records),) = self.held
            record = (RANK_NAMES[rank], records[0].offset)
            for before in processor.attempts:
                if before.record == record:  # the newest one counts, and one that was spared is made again
                    number = before.attempt + (before != self.failures.spared)
        n = sum(len(records) for _, records in self.held)
        self.announced = AttemptRecord(
            processor.epoch,
            processor.seq,
            processor.digest,
            number,
            by_name(processor.positions),
            self.suspects or n,
            record,
        )
        return Commit([], self.alerts(number), encode(self.announced), list(processor.positions))

    def alerts(self, number: int) -> list[Send]:
        """An alert about a failure that repeats, with the first announcement that shows it."""
        processor, failures = self.processor, self.failures
        cause, stamp = named(failures.error), self.stamp
        if number == 2 and all(one.attempt < number for one in processor.attempts):
            about = stamp
            text = (
                f"the learner died or failed again after batch {stamp}{cause}; it takes one record at a time "
                f"now, and one that fails {MOST_ATTEMPTS - 1} times alone becomes a dead letter"
            )
        elif failures.stamp == stamp and failures.n >= MOST_FAILURES and not failures.reported:
            failures.reported, about = True, f"{stamp}/outside"
            text = f"the shard failed {failures.n} times after batch {stamp}{cause}, by no fault of a record"
        else:
            return []
        state, app = processor.core.state, processor.core.app.name
        evidence = {"attempt": number, "positions": by_name(processor.positions), "error": failures.error}
        kind, now_ms = "shard-failing", state.log_time_ms
        return [alert(app, state.shard, about, now_ms, kind, text, evidence)]

    def step(self, runs: list[Run], ended: Callable[[str], None] | None) -> None:
        """Apply records; one that had its last attempt becomes a dead letter."""
        self.held = []
        self.on_its_way = sum(len(records) for _, records in runs)
        given_up = self.announced is not None and self.announced.attempt >= MOST_ATTEMPTS
        with self.blamed():
            if given_up:
                text = (
                    f"the learner died or failed at {MOST_ATTEMPTS - 1} attempts{named(self.failures.error)}"
                )
                self.processor.crash(runs[0][1][0], text)
            else:
                self.processor.apply(runs, ended)

    def seal(self, settled: RefilledSets | None) -> SealedBatch:
        """Close the batch."""
        with self.blamed():
            return self.processor.seal(settled)

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Whatever is raised within comes from the records, also where a model calls `sys.exit`."""
        shard = self.processor.core.state.shard
        self.stepping = True
        self.marks.set(shard, STEPPING)
        try:
            yield
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"a model raised {type(error).__name__}") from error
        self.stepping = False
        self.marks.set(shard, RESTING)

    def committed(self) -> None:
        """Note that what was stepped last is committed."""
        n, self.on_its_way, self.announced = self.on_its_way, 0, None
        self.stamp = self.processor.stamp
        self.unproven -= n
        if self.suspects:
            self.suspects = max(0, self.suspects - n)
        else:
            self.batch = min(2 * self.batch, self.batch_records)

    def idle(self) -> None:
        """Every input was read to its end and all of it is committed: no record is left from before."""
        self.unproven = self.suspects = 0


def named(error: str) -> str:
    """What a failure is called in a sentence, if that is known."""
    return f" ({error})" if error else ""
