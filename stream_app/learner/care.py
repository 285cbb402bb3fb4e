"""Careful mode: how a shard gets past a record at which it crashes, the process with it or not (ADR 14).

    proving ──caught up, or past all that may have been on its way──▶ proven (nothing is announced)
       │ ▲
       │ └──all records under suspicion passed──┐
       └──the life before ended within its ─────┴─ careful: one record for each transaction
          first announced batch                    the third attempt at one record makes it a dead letter

A life is what goes live until it fails or ends. While it is not proven, what it is about to step is announced
in the journal, in a transaction before; a batch is stepped only once the one before is committed. So whatever
ends a life, the records at fault are among those that it announced last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from stream_app.learner.journal import AttemptRecord, by_name, encode
from stream_app.learner.machine import Closed, Machine
from stream_app.learner.merge import Run
from stream_app.learner.notices import alert
from stream_app.ports import Commit, Send
from topics.envelope import RANK_NAMES

FIRST_SIZE = 128  # records of a life's first batch; each one after it is twice as large
MOST_ATTEMPTS = 3
MOST_FAILURES = 3  # of a shard at one batch for reasons outside of it, before an alert says so


class Failures(msgspec.Struct):
    """How the lives of a shard in this process ended; `error` names what ended the newest one.

    `n` of them ended after batch `stamp` and not by a record: a broker was away, for example. `spared` is the
    attempt that the newest of these broke off: it counts for nothing. `told`: an alert says so.
    """

    error: str = ""
    stamp: str = ""
    n: int = 0
    spared: AttemptRecord | None = None
    told: bool = False

    def note(self, care: Care, error: str) -> None:
        """Add the end of one life."""
        self.error = error
        if care.stepping:
            self.spared = None
            return
        self.spared = care.announced or self.spared
        if self.stamp != care.stamp:
            self.stamp, self.n, self.told = care.stamp, 0, False
        self.n += 1


class Care:
    """What a life may step next; `held` are records that wait until their announcement is committed.

    `stepping`: what is raised now comes from the records, not from a server.
    """

    def __init__(self, machine: Machine, batch_records: int, failures: Failures) -> None:
        self.machine, self.batch_records, self.failures = machine, batch_records, failures
        tried = machine.tried
        self.number = 1 if tried is None else tried.attempt + (tried != failures.spared)
        self.suspects = tried.records if tried is not None and self.number > 1 else 0
        self.accused = tried.record if tried is not None and self.number >= MOST_ATTEMPTS else None
        self.repeated = tried is not None and tried.attempt == 1 and self.number > 1  # now for the first time
        # The life before stepped no record beyond two batches: one on its way, one being stepped.
        self.unproven = 2 * batch_records
        self.batch = FIRST_SIZE
        self.held: list[Run] = []
        self.announced: AttemptRecord | None = None
        self.on_its_way = 0
        self.stepping = False
        self.stamp = machine.stamp  # of the newest committed batch

    @property
    def proven(self) -> bool:
        """Records need not be announced."""
        return self.unproven <= 0

    @property
    def careful(self) -> bool:
        """One record at a time."""
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
        """The transaction about what is held."""
        machine, record = self.machine, None
        if self.careful:
            ((rank, records),) = self.held
            record = (RANK_NAMES[rank], records[0].offset)
        n = sum(len(records) for _, records in self.held)
        self.announced = AttemptRecord(
            machine.epoch, machine.seq, machine.digest, self.number, by_name(machine.positions),
            self.suspects or n, record,
        )  # fmt: skip
        return Commit([], self.alerts(), encode(self.announced), list(machine.positions))

    def alerts(self) -> list[Send]:
        """An alert about a failure that repeats, with the first announcement that shows it."""
        machine, failures = self.machine, self.failures
        cause, stamp = named(failures.error), self.stamp
        if self.repeated:
            self.repeated, about = False, stamp
            text = (
                f"the learner died or failed again after batch {stamp}{cause}; it takes one record at a time "
                f"now, and the one that fails at attempt {MOST_ATTEMPTS} becomes a dead letter"
            )
        elif failures.stamp == stamp and failures.n >= MOST_FAILURES and not failures.told:
            failures.told, about = True, f"{stamp}/outside"
            text = f"the shard failed {failures.n} times after batch {stamp}{cause}, by no fault of a record"
        else:
            return []
        state, app = machine.core.state, machine.core.app.name
        evidence = {"attempt": self.number, "positions": by_name(machine.positions), "error": failures.error}
        kind, now_ms = "shard-failing", state.log_time_ms
        return [alert(app, state.shard, about, now_ms, kind, "critical", text, evidence)]

    def step(self, runs: list[Run], ended: Callable[[str], None] | None) -> None:
        """Apply records; one that had its last attempt becomes a dead letter."""
        self.held = []
        self.on_its_way = sum(len(records) for _, records in runs)
        record = None if self.announced is None else self.announced.record
        with self.blamed():
            if record is not None and record == self.accused:
                text = f"the learner died or failed at {MOST_ATTEMPTS} attempts{named(self.failures.error)}"
                self.machine.crash(runs[0][1][0], text)
            else:
                self.machine.apply(runs, ended)

    def seal(self) -> Closed:
        """Close the batch."""
        with self.blamed():
            return self.machine.seal()

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Whatever is raised within comes from the records, also where a model calls `sys.exit`."""
        self.stepping = True
        try:
            yield
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"a model raised {type(error).__name__}") from error
        self.stepping = False

    def committed(self) -> None:
        """What was stepped last is committed."""
        n, self.on_its_way, self.announced = self.on_its_way, 0, None
        self.stamp = self.machine.stamp
        self.unproven -= n
        if self.suspects > n:
            # Those that are left were announced together with it, and none has been tried alone.
            self.suspects, self.number = self.suspects - n, 2
        elif self.suspects:
            self.suspects, self.number = 0, 1
        else:
            self.batch = min(2 * self.batch, self.batch_records)

    def idle(self) -> None:
        """Every input was read to its end and all of it is committed: no record is left from before."""
        self.unproven, self.suspects, self.number = 0, 0, 1


def named(error: str) -> str:
    """What a failure is called in a sentence, if that is known."""
    return f" ({error})" if error else ""
