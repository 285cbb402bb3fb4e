"""confluent-kafka: a transactional producer that fences its predecessor, and whose requests never mix.

No request of an earlier transaction may enter a later one. librdkafka sends a request again when its
connection is lost, and the broker may still get the first copy, seconds later: one that ends a transaction
would then end the next one halfway. Brokers distinguish the two by an epoch for each transaction (KIP-890,
second part), which librdkafka does not support; so after a lost connection the next transaction has a new
producer, whose `init_transactions` raises the epoch.

A broker may also leave a transaction open that it has ended: while no leader of a partition was known, Kafka
4.3 was seen to skip the marker that ends the transaction there, as if the topic were deleted. The next
transaction of the same name would then end both, so `fence` looks for such a rest and aborts it. Whatever
else aborts while the writer lives, a new producer or an old generation, may end such a rest too: then what
was acknowledged before is void, and the writer fails.

librdkafka (2.14, its issue 5456) heeds no timeout when it sends offsets: after a lost connection that may
block for a minute or for good. So it has a thread of its own, and a client that hangs in it is left behind.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it does

from stream_app.adapters.clock import SystemClock
from stream_app.errors import Fenced, ShardFailed, StaleGroup
from topics.sizes import CLIENT_BYTES

FENCE_TIMEOUT_S = 30.0
LOOKUP_TIMEOUT_S = 10.0
NEWEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
COMMIT_TIMEOUT_S = 15.0
SLOW_S, DOUBT_S = 1.0, 60.0  # a transaction that takes longer raises doubts for a while
LOOK_S = 0.5  # for how long the answer to offsets is waited for, before a look at what else is on its way
SILENT_LOOKS = 4  # so often all records were written, and only that answer is missing: the client hangs
STALE = {KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID}
FENCING = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.FENCED_INSTANCE_ID}
LOST = re.compile(r"in state UP|timed out")  # only such a connection, or request, may leave one on its way
VOID = "{}: the broker called a transaction committed and left it open, so its batch is made again: {}"
log = structlog.get_logger()


def names(places: Sequence[TopicPartition]) -> list[str]:
    """Topic and partition of each, for people."""
    return [f"{place.topic}/{place.partition}" for place in places]


class Connections:
    """The client's logger: passes its lines on, and calls `lost` for one about a connection that was lost."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self.lost = lost

    def log(self, level: int, pattern: str, *words: Any) -> None:
        """Called by the client within `poll`."""
        line = pattern % words
        log.log(level, "kafka client", line=line)
        if LOST.search(line):
            self.lost()


class Transactions:
    """One transactional producer; `what` names it in errors. Used by one thread at a time.

    `own` are the partitions that no transaction of another name writes.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        transactional_id: str,
        what: str,
        transaction_timeout_ms: int = 10_000,
        own: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.what = what
        self.own, self.asking = [TopicPartition(*place) for place in own], dict(config)
        self.write_errors: list[KafkaError] = []
        # The first offset of the transaction of now, by topic and partition.
        self.begins: dict[tuple[Any, Any], Any] = {}
        self.config = {
            **config,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": transaction_timeout_ms,
            "linger.ms": 0.5,
            "retry.backoff.ms": 5,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 1_000_000,
            "compression.type": "lz4",
            "message.max.bytes": CLIENT_BYTES,
            "logger": Connections(self.lost),  # no callback reports a lost connection, only the log does
        }
        self.unanswered = False  # a request may still be on its way, though the client has sent it again
        self.doubtful_until_s = self.began_s = 0.0
        self.hangs = False  # a call of the client does not come back
        self.producer = Producer(self.config)

    def fence(self) -> None:
        """Fence the previous owner and resolve its open transaction.

        Raises:
            ShardFailed: the broker does not answer in time.
        """
        self.take_over()

    def take_over(self) -> list[str]:
        """Fence; give the own partitions with an aborted transaction that was called committed."""
        try:
            self.producer.init_transactions(FENCE_TIMEOUT_S)
            left_open = aborted = self.left_open()
            if left_open:
                log.warning(
                    "the broker left a transaction open, which is aborted", of=self.what, in_=names(aborted)
                )
                self.producer.begin_transaction()
                for place in left_open:
                    self.producer.produce(place.topic, None, partition=place.partition)
                self.producer.flush(COMMIT_TIMEOUT_S)
                self.producer.abort_transaction(COMMIT_TIMEOUT_S)
                left_open = self.left_open()
        except KafkaException as error:
            raise ShardFailed(f"{self.what}: init_transactions failed ({error})") from error
        if left_open:
            raise ShardFailed(f"{self.what}: a transaction of the previous owner is still open")
        return names(aborted)

    def left_open(self, begins: Mapping[tuple[Any, Any], int] | None = None) -> list[TopicPartition]:
        """The own partitions with a transaction that is not ended; `begins`: other than the one of now, whose
        first offsets these are, by topic and partition.
        """
        if not self.own:
            return []
        admin = AdminClient(self.asking)  # a new one: it would remember who led them before a restart
        ends: list[list[int]] = []
        for isolation in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
            asked = admin.list_offsets(
                dict.fromkeys(self.own, NEWEST),
                isolation_level=isolation,
                request_timeout=LOOKUP_TIMEOUT_S,
            )
            ends.append([asked[place].result().offset for place in self.own])
        return [
            place
            for place, stable, end in zip(self.own, *ends, strict=True)
            if stable < (begins or {}).get((place.topic, place.partition), end)
        ]

    def overlooked(self) -> str:
        """Say, before the transaction ends, where one before it is still open that was called committed."""
        self.producer.flush(COMMIT_TIMEOUT_S)  # so that it is known where this one begins
        found = names(self.left_open(self.begins))
        return VOID.format(self.what, found) if found else ""

    def lost(self) -> None:
        """Note that a connection was lost; the client goes on by itself."""
        self.unanswered = True
        self.doubtful_until_s = SystemClock().monotonic() + DOUBT_S

    def doubts(self) -> bool:
        """Whether a broker may have left something open: it was slow a while ago, or a connection was lost.

        One that skips a marker was away from its controller for seconds.
        """
        self.note_time()
        return SystemClock().monotonic() < self.doubtful_until_s

    def note_time(self) -> None:
        """Note whether the transaction of now takes long; called at its end, too."""
        now_s = SystemClock().monotonic()
        if now_s - self.began_s > SLOW_S:
            self.doubtful_until_s = now_s + DOUBT_S

    def renew(self) -> None:
        """Take a new producer: what the old one has sent and is still on its way is refused from now on.

        Raises:
            ShardFailed: that aborted what was acknowledged before, or the broker does not answer in time.
        """
        log.info("a connection was lost: the next transaction has a new producer", of=self.what)
        self.close()
        self.unanswered = self.hangs = False
        self.producer, self.begins = Producer(self.config), {}
        aborted = self.take_over()
        if aborted:
            raise ShardFailed(VOID.format(self.what, aborted))

    def renew_if_lost(self) -> Producer:
        """Give the producer for the next transaction, a new one after a lost connection."""
        self.producer.poll(0)  # an aborted transaction leaves its log unread
        if self.unanswered:
            self.renew()
        self.write_errors, self.begins, self.began_s = [], {}, SystemClock().monotonic()
        return self.producer

    def send_offsets(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """Add the group's offsets to the transaction.

        Raises:
            KafkaException: they were refused.
            ShardFailed: no answer came; this client is of no use any more.
        """
        answers: SimpleQueue[KafkaException | None] = SimpleQueue()

        def send(producer: Producer) -> None:
            try:
                producer.send_offsets_to_transaction(list(offsets), group, COMMIT_TIMEOUT_S)
            except KafkaException as error:
                answers.put(error)
            else:
                answers.put(None)

        threading.Thread(target=send, args=(self.producer,), daemon=True).start()
        silent = 0
        for _ in range(round(COMMIT_TIMEOUT_S / LOOK_S)):
            with suppress(Empty):
                refused = answers.get(timeout=LOOK_S)
                if refused is not None:
                    raise refused
                return
            silent = 0 if self.producer.flush(0) else silent + 1  # records of a slow link go first
            if silent >= SILENT_LOOKS:
                break
        self.hangs = True
        raise ShardFailed(f"{self.what}: no answer to the offsets of a transaction; a new client takes over")

    def make_room(self) -> None:
        """Wait until the client's queue, 1 GiB, is written: many large records pass it in one batch.

        Raises:
            ShardFailed: the broker does not take it in time.
        """
        if left := self.producer.flush(COMMIT_TIMEOUT_S):
            raise ShardFailed(f"{self.what}: {left} records could not be written in time")

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.write_errors.append(error)
        else:
            self.begins.setdefault((message.topic(), message.partition()), message.offset())

    def failure(self, caught: KafkaException) -> ShardFailed:
        """Abort where that is asked for, and name the reaction."""
        error: KafkaError = caught.args[0]
        if error.code() in FENCING or error.fatal():
            return Fenced(f"{self.what}: another owner took over ({error})")
        stale, void = error.code() in STALE, ""
        try:
            void = self.overlooked() if stale else ""
            self.producer.abort_transaction(COMMIT_TIMEOUT_S)
        except KafkaException as second:
            return ShardFailed(f"{self.what}: {error}, and the abort failed too ({second})")
        if void:
            return ShardFailed(void)
        return StaleGroup(f"{self.what}: {error}") if stale else ShardFailed(f"{self.what}: {error}")

    def close(self) -> None:
        """Drop the client without waiting: an open transaction is resolved by the successor's fence."""
        if self.hangs:
            return  # it ends with the call that hangs; to end it before would pull its memory from under that
        # The client (2.16) tries to abort what is open. Where it cannot, it raises or warns, and warnings may
        # be errors; a second close raises too.
        with suppress(KafkaException, SystemError, RuntimeError):
            self.producer.purge()
            self.producer.close(0)  # type: ignore[call-arg]  # the stub of 2.16 lacks the timeout
