"""confluent-kafka: reads one shard's journal and the inputs that it names again, outside the group."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_app.adapters.kafka_record import CUT, group_by_partition
from stream_app.errors import Halted, ShardFailed
from stream_app.ports import JournalEntry, Positions
from topics.envelope import RANKS, Record

BATCH = 1_000  # at a time, so that a message becomes a record while it is in the cache
BUFFER_HIGH = 20_000  # records of one input held in memory before its partition is paused
WAIT_S = 0.01
LOOKUP_TIMEOUT_S = 10.0
LOOK_BACK = 64  # offsets before a topic's end; every second one can be a transaction's control record
COMMITTED_TIMEOUT_S = 10.0  # a transaction that is over by then has its end in the log
FIRST_LOOK_BACK = 64  # offsets before the end, eight times as many at each further look


class Predicted(msgspec.Struct):
    """The event of its shard that a prediction answers."""

    offset: int


read_predicted = msgspec.json.Decoder(Predicted).decode


class KafkaReplay:
    """Two consumers, for the journal and for the inputs: the journal says how much input is needed."""

    def __init__(
        self,
        config: Mapping[str, Any],
        group: str,
        shard: int,
        journal_topic: str,
        predictions_topic: str,
        input_topics: tuple[str, ...],
        buffer_high: int = BUFFER_HIGH,
        life: str = "",
    ) -> None:
        self.shard = shard
        self.life = life
        self.buffer_high = buffer_high
        self.journal_topic, self.predictions_topic = journal_topic, predictions_topic
        self.topics = input_topics
        self.rank_of = {topic: rank for rank, topic in enumerate(input_topics)}
        self.config = {
            **config,
            # The group's offsets are read, never written, and nothing subscribes: a subscribed member's own
            # `committed` was seen to hang for as long as its assignment is empty.
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
            "fetch.queue.backoff.ms": 2,
        }
        self.journal_consumer = Consumer(self.config)
        self.input_consumer = Consumer(self.config)
        self.buffers: list[deque[Record]] = [deque() for _ in RANKS]
        self.ended = [-1] * len(RANKS)
        self.paused: set[int] = set()

    def journal(self, from_offset: int) -> Iterator[JournalEntry | None]:
        """Journal records from an offset (−1: the earliest) to the end; None: nothing yet.

        Raises:
            Halted: the offset is no longer retained.
        """
        start = from_offset if from_offset >= 0 else self.lowest(self.journal_topic)
        return self.records(self.journal_topic, start)

    def records(self, topic: str, start: int) -> Iterator[JournalEntry | None]:
        """What a topic that the shard writes holds from an offset to its end; None: nothing yet."""
        self.journal_consumer.assign([TopicPartition(topic, self.shard, start)])
        while True:
            messages = self.journal_consumer.consume(200, 0.0) or self.journal_consumer.consume(1, WAIT_S)
            for message in messages:
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        return
                    raise self.fault(topic, error)
                value = message.value()
                if value is not None:
                    yield JournalEntry(message.offset() or 0, value)
            if not messages:
                yield None

    def fault(self, topic: str, error: KafkaError) -> Halted | ShardFailed:
        """What an error other than a partition's end does: it ends the attempt or the shard."""
        if error.code() in CUT:
            return Halted(
                f"{topic}[{self.shard}] no longer retains what the journal needs ({error})",
                "Restore the topic from a backup and raise its retention, or run `stream-app upgrade "
                "MODULE:APP`: it names the batches that are lost and goes on",
            )
        return ShardFailed(f"{topic}[{self.shard}]: {error}")

    def inputs(self, positions: Positions) -> None:
        """Place the inputs; nothing that was buffered, paused or at its end before counts any more."""
        self.earliest()  # so that the client knows who leads them: else it may find out a second later
        inputs = [TopicPartition(self.topics[rank], self.shard, positions[rank]) for rank in RANKS]
        self.input_consumer.resume(inputs)  # the client keeps a pause from one assignment to the next
        self.input_consumer.assign(inputs)
        self.buffers = [deque() for _ in RANKS]
        self.ended = [-1] * len(RANKS)
        self.paused = set()

    def read_next(self, rank: int, n: int, end: int) -> list[Record] | None:
        """Exactly the n records below `end`, or None while they are not all here."""
        buffer = self.buffers[rank]
        if len(buffer) <= n:
            self.resume(rank)  # a batch may hold more than is read ahead
        while len(buffer) <= n and self.ended[rank] < end and self.pump(rank):
            pass  # more may be at hand already, and to come back for it costs a pause
        have = len(buffer)
        complete = have > n or self.ended[rank] >= end
        if have < n and not complete:
            if self.ended[rank] >= 0:
                self.require_end(rank, end)
            return None
        exact = have > n and buffer[n].offset >= end and (n == 0 or buffer[n - 1].offset < end)
        inside = n if exact else sum(record.offset < end for record in buffer)
        if inside != n and (complete or inside > n):
            raise Halted(
                f"{self.topics[rank]}[{self.shard}] has {inside} records below {end}, the journal read {n}",
                "The input was cut or changed: restore the topic from a backup, or run `stream-app upgrade "
                "MODULE:APP --from-log`: it names the batches that are lost and goes on",
            )
        if inside < n:
            return None
        taken = [buffer.popleft() for _ in range(n)]
        if len(buffer) < self.buffer_high // 2:
            self.resume(rank)
        return taken

    def resume(self, rank: int) -> None:
        """Read an input ahead again."""
        if rank in self.paused:
            self.input_consumer.resume([TopicPartition(self.topics[rank], self.shard)])
            self.paused.discard(rank)

    def require_end(self, rank: int, end: int) -> None:
        """Check that the input still reaches an offset beyond the end that a poll reported.

        A broker that was just elected leader reports no end before it knows all that was committed (KIP-207).

        Raises:
            Halted: it ends before that.
        """
        ends = self.watermarks(self.topics[rank])[1]
        if ends < end:
            raise Halted(
                f"{self.topics[rank]}[{self.shard}] ends at {ends}, the journal read to {end}",
                "The input lost its newest records: restore the topic from a backup",
            )

    def pump(self, wanted: int) -> bool:
        """Read what is at hand into the buffers, pausing others that run far ahead; whether any came."""
        messages = self.input_consumer.consume(BATCH, 0.0) or self.input_consumer.consume(1, WAIT_S)
        found = group_by_partition(messages, self.rank_of)
        for (_, rank), error in found.faults:
            raise self.fault(self.topics[rank] if rank >= 0 else "the inputs", error)
        for (_, rank), records in found.records.items():
            self.buffers[rank].extend(records)
        for (_, rank), position in found.ends.items():
            self.ended[rank] = position
        for rank in RANKS:
            ahead = rank != wanted and len(self.buffers[rank]) > self.buffer_high
            if ahead and rank not in self.paused:
                self.input_consumer.pause([TopicPartition(self.topics[rank], self.shard)])
                self.paused.add(rank)
        return bool(messages)

    def earliest(self) -> Positions:
        """The earliest retained offset of each input.

        Raises:
            ShardFailed: the broker does not answer; recover again.
        """
        return [self.lowest(topic) for topic in self.topics]

    def lowest(self, topic: str) -> int:
        """Ask for the earliest offset: given OFFSET_BEGINNING, the client (2.16) asks half a second later.

        Raises:
            ShardFailed: the broker does not answer; recover again.
        """
        return self.watermarks(topic)[0]

    def watermarks(self, topic: str) -> tuple[int, int]:
        """The earliest retained offset of a topic's partition, and the one after its last record.

        Raises:
            ShardFailed: the broker does not answer; recover again.
        """
        here = TopicPartition(topic, self.shard)
        try:
            found: tuple[int, int] = self.input_consumer.get_watermark_offsets(here, LOOKUP_TIMEOUT_S)
        except KafkaException as error:
            raise ShardFailed(f"{topic}[{self.shard}]: its offsets cannot be read ({error})") from error
        return found

    def committed(self) -> list[int | None]:
        """Committed offsets by rank; a pending transaction is waited for, at most `COMMITTED_TIMEOUT_S`.

        What is pending for longer never ends: ours ended when this shard was fenced, and a coordinator was
        seen to remember one that is over. Then the offsets before it count.

        None where the broker has none, or those of an earlier life of the name. Without metadata they count:
        earlier versions and Kafka's own tools write none.

        Raises:
            ShardFailed: no answer in time; recover again.
        """
        wanted = [TopicPartition(self.topics[rank], self.shard) for rank in RANKS]
        try:
            found = self.input_consumer.committed(wanted, timeout=COMMITTED_TIMEOUT_S)
        except KafkaException as error:
            found = self.committed_before(wanted, error)
        ours = ("", None, self.life) if self.life else ()
        return [p.offset if p.offset >= 0 and (not ours or p.metadata in ours) else None for p in found]

    def committed_before(self, wanted: list[TopicPartition], why: KafkaException) -> list[TopicPartition]:
        """Committed offsets without those of a transaction that is still pending.

        Raises:
            ShardFailed: no answer in time; recover again.
        """
        reader = Consumer({**self.config, "isolation.level": "read_uncommitted"})
        try:
            found: list[TopicPartition] = reader.committed(wanted, timeout=LOOKUP_TIMEOUT_S)
        except KafkaException:
            raise ShardFailed(f"shard {self.shard}: committed offsets cannot be read ({why})") from why
        finally:
            reader.close()
        return found

    def predicted(self) -> int | None:
        """Look back from the end of the predictions, past control records and aborted ones.

        Raises:
            ShardFailed: the broker does not answer; recover again.
        """
        topic = self.predictions_topic
        low, end = self.watermarks(topic)
        start, reach = end, FIRST_LOOK_BACK
        while start > low:
            start, reach = max(low, end - reach), reach * 8
            newest = None
            self.journal_consumer.assign([TopicPartition(topic, self.shard, start)])
            for message in self.until_end(topic):
                try:
                    newest = read_predicted(message.value() or b"").offset
                except msgspec.MsgspecError:
                    continue  # another program writes here
            if newest is not None:
                return newest
        return None

    def until_end(self, topic: str) -> Iterator[Message]:
        """What the journal's consumer reads of its assignment up to the end."""
        while True:
            message = self.journal_consumer.poll(LOOKUP_TIMEOUT_S)
            if message is None:
                raise ShardFailed(f"{topic}[{self.shard}]: no answer within {LOOKUP_TIMEOUT_S:.0f} s")
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise ShardFailed(f"{topic}[{self.shard}]: {error}")

    def group(self) -> bytes:
        """This client subscribes to nothing: the broker takes its commits only while the group is empty."""
        group: bytes = self.input_consumer.consumer_group_metadata()
        return group

    def close(self) -> None:
        self.journal_consumer.close()
        self.input_consumer.close()
