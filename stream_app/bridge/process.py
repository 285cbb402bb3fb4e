"""The bridge's loop: read, put in order, translate, and commit; one process of an application at a time.

Whatever fails ends the process without a commit: the next one reads the same records again.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from stream_app.bridge.order import TimeOrder
from stream_app.bridge.translation import Translated, Translator
from stream_app.bridge_port import BridgeLog, BridgePolled, BridgeReport, Place, Routed, Source
from stream_app.inputs.schemas import RegistryAway
from stream_app.ports import Clock
from topics.envelope import Record

BATCH = 2_000  # records in a transaction, at most
POLL_S = 0.05
BUFFERED = 10_000  # records of one partition that may wait for others; then it is not fetched
BUFFERED_BYTES = 32 << 20  # of their values
SLOW_S = 1.0  # to read what was polled; then less is polled, so that something is committed now and then
SEAT_S = 0.5
SETTLE_S = 0.2  # without a record
ALERT_S = 10.0  # of waiting
LOOK_S = 30.0  # between looks for new partitions, and between trims
RENEW_S = 3_600.0  # between commits of all positions: brokers forget one that is not committed for days
BEGUN = Routed("bridge", None, None, 0)  # in the bridge's own topic: it has had positions
REPORT_S = 1.0
log = structlog.get_logger()


class Bridge:
    """One process; `run` ends with `stopping`, or once it was idle for `exit_when_idle_s`."""

    def __init__(
        self,
        log_of: BridgeLog,
        translator: Translator,
        clock: Clock,
        report: Callable[[BridgeReport], None],
        exit_when_idle_s: float | None = None,
    ) -> None:
        self.log, self.translator, self.clock, self.report = log_of, translator, clock, report
        self.exit_when_idle_s = exit_when_idle_s
        self.stopping = threading.Event()
        self.order: TimeOrder[Translated] = TimeOrder()
        self.numbers: dict[Source, int] = {}
        self.positions: dict[Source, int] = {}
        self.next: dict[Source, int] = {}  # the offset that is read next; a client may give one again
        self.paused: set[Source] = set()
        self.held: Counter[Source] = Counter()  # bytes of values in the order
        self.limit = BATCH
        self.waits_for = ""  # what keeps everything waiting
        self.ends: dict[Source, int] = {}  # up to which all of an input has been read
        self.alerted: Place | None = None  # the record for whose schema an alert says that everything waits
        self.kept: deque[tuple[int, int]] = deque()  # (clock, offset) of records in the bridge's own topic
        self.reported_s = self.looked_s = self.busy_s = self.renewed_s = 0.0

    def run(self) -> None:
        """Wait for the seat, then bridge.

        Raises:
            Fenced, ShardFailed: this process is over; the next one goes on.
            Refused: a person has to decide.
        """
        self.log.join()
        log.info("waiting for the seat")
        while not self.log.has_seat(SEAT_S):
            self.tell(active=False)
            if self.stopping.is_set():
                return
        self.log.begin(self.translator.restore)
        log.info("bridging", ids=len(self.translator.keys.keys), waiting=self.translator.keys.n_waiting)
        self.busy_s = self.looked_s = self.renewed_s = self.clock.monotonic()
        self.look()
        self.write([BEGUN], self.positions)
        while not self.stopping.is_set() and not self.is_idle():
            self.turn()
        self.settle()

    def turn(self) -> None:
        """Read, order, translate and commit once."""
        self.log.has_seat(0.0)
        polled = self.log.poll(self.limit, 0.0 if self.is_ready() else POLL_S)
        began_s = self.clock.monotonic()
        self.take_in(polled)
        slow = self.clock.monotonic() - began_s > SLOW_S
        self.limit = max(1, self.limit // 2) if slow else min(BATCH, self.limit * 2)
        batch = self.order.next(BATCH)
        if batch:
            self.commit([read for _, read in batch])
            self.busy_s = self.clock.monotonic()
        elif self.ends and self.clock.monotonic() - self.busy_s > SETTLE_S:
            self.settle()
        self.resume()
        if self.clock.monotonic() - self.looked_s > LOOK_S:
            self.looked_s = self.clock.monotonic()
            self.look()
            self.trim()
            self.renew_positions()
        self.tell(active=True)

    def is_ready(self) -> bool:
        """Whether records are at hand that wait for nothing."""
        return not self.order.waits_for() and any(self.order.buffers)

    def is_idle(self) -> bool:
        """Whether all was bridged for so long that the call may end."""
        if self.exit_when_idle_s is None:
            return False
        return self.clock.monotonic() - self.busy_s > self.exit_when_idle_s and all(self.order.quiet)

    def take_in(self, polled: BridgePolled) -> None:
        """Read records and put them in order; a partition that runs far ahead is paused."""
        now_ms = self.clock.now_ms()  # a record from the future must not hold up those behind it
        seen_s = self.clock.monotonic()
        for source, record in polled.records:
            if record.offset < self.next.get(source, 0):
                log.warning("a record that came already", topic=source[0], partition=source[1])
                continue
            read = self.read(record, Place(*source, record.offset))
            if read is None:
                return
            if self.clock.monotonic() - seen_s > SLOW_S:
                seen_s = self.clock.monotonic()
                self.log.has_seat(0.0)  # else the group would take it for stuck
                self.tell(active=True)
            self.next[source] = record.offset + 1
            self.order.offer(self.number(source), min(read.time_ms, now_ms), read)
            self.held[source] += len(record.value or b"")
        for source, end in polled.ends.items():
            self.order.end(self.number(source))
            self.ends[source] = end
        ahead = [
            source
            for source, number in self.numbers.items()
            if source not in self.paused
            and (self.order.buffered(number) > BUFFERED or self.held[source] > BUFFERED_BYTES)
        ]
        if ahead:
            self.log.pause(ahead)
            self.paused.update(ahead)

    def read(self, record: Record, place: Place) -> Translated | None:
        """What a record is. While its schema cannot be had, everything waits; None: the end was asked for."""
        began_s = self.clock.monotonic()
        while not self.stopping.is_set():
            try:
                read = self.translator.read(record, place)
            except RegistryAway as away:
                self.wait(str(away), place, self.clock.monotonic() - began_s)
                continue
            if self.waits_for:
                log.info("goes on")
                self.waits_for = ""
            return read
        return None

    def wait(self, why: str, place: Place, waited_s: float) -> None:
        """Wait a moment for a schema; say so at once, and alert when it lasts."""
        where = "/".join(map(str, place))
        if not self.waits_for:
            log.warning("waiting for a schema", why=why, record=where)
            self.waits_for = why
        if waited_s > ALERT_S and self.alerted != place:
            self.alerted = place
            self.write([self.translator.waiting_alert(why, where)], {})
        self.log.has_seat(SEAT_S)
        self.tell(active=True)

    def number(self, source: Source) -> int:
        """The number of a source in the order."""
        if source not in self.numbers:
            self.numbers[source] = self.order.add_source()
        return self.numbers[source]

    def resume(self) -> None:
        """Fetch those again whose records were bridged meanwhile."""
        behind = [
            source
            for source in self.paused
            if self.order.buffered(self.numbers[source]) < BUFFERED // 2
            and self.held[source] < BUFFERED_BYTES // 2
        ]
        if behind:
            self.log.resume(behind)
            self.paused.difference_update(behind)

    def commit(self, batch: Sequence[Translated]) -> None:
        """Translate a batch and write it in one transaction."""
        routed: list[Routed] = []
        positions: dict[Source, int] = {}
        for read in batch:
            routed += self.translator.translate(read)
            positions[read.at.topic, read.at.partition] = read.at.offset + 1
            self.held[read.at.topic, read.at.partition] -= len(read.record.value or b"")
        offset = self.write(routed, positions)
        self.positions.update(positions)
        if offset is not None:
            self.kept.append((self.translator.keys.clock_ms, offset))

    def write(self, routed: Sequence[Routed], positions: Mapping[Source, int]) -> int | None:
        """Commit one transaction."""
        return self.log.commit(routed, positions, self.translator.keys.n_waiting)

    def settle(self) -> None:
        """Move past what ends an input and is no record: transactions and aborted records count as lag."""
        if not all(self.order.quiet) or any(self.order.buffers):
            return
        ahead = {source: end for source, end in self.ends.items() if end > self.positions.get(source, 0)}
        self.ends = {}
        if ahead:
            self.write([], ahead)
            self.positions.update(ahead)

    def look(self) -> None:
        """Begin to read partitions that are new."""
        for source, position in self.log.look_for_partitions().items():
            self.number(source)
            self.positions[source] = self.next[source] = position

    def renew_positions(self) -> None:
        """Commit all positions again, also of inputs that nothing comes from."""
        if self.clock.monotonic() - self.renewed_s > RENEW_S:
            self.renewed_s = self.clock.monotonic()
            self.write([], self.positions)

    def trim(self) -> None:
        """Delete what is no longer remembered from the bridge's own topic."""
        keys, before = self.translator.keys, None
        while self.kept and self.kept[0][0] < keys.clock_ms - keys.keep_ms:
            before = self.kept.popleft()[1]
        if before is not None:
            self.log.trim(before)

    def tell(self, *, active: bool) -> None:
        """Report to the metrics, once a second."""
        now_s = self.clock.monotonic()
        if now_s - self.reported_s < REPORT_S:
            return
        self.reported_s, keys = now_s, self.translator.keys
        ends = self.log.ends() if active else {}
        lag = {source: max(0, end - self.positions.get(source, end)) for source, end in ends.items()}
        counts = self.translator.counts
        self.report(
            BridgeReport(
                counts, lag, keys.n_waiting, len(keys.keys), keys.n_forgotten, active, bool(self.waits_for)
            )
        )
