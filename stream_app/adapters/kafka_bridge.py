"""confluent-kafka: the bridge's seat in its group, its reader of all input topics, and its transactions.

One process of an application bridges: whoever holds the only partition of `<app>.bridge` in the group. Others
stand by. The positions in the input topics are offsets of that group, committed in the transaction that
writes what was read; the generation guards them beside the producer's fence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_app.adapters.bridge_transactions import BridgeTransactions
from stream_app.adapters.kafka_record import CUT, END, to_record
from stream_app.adapters.topic_ids import topic_ids
from stream_app.bridge_port import WAITING_LABELS, BridgePolled, Restore, Routed, Source
from stream_app.errors import Fenced, Refused, ShardFailed
from topics.envelope import EVENT, Record

METADATA_TIMEOUT_S = 10.0
LEAVE_POLLS = 100  # of 50 ms, at most
EARLIEST = -2  # librdkafka's OFFSET_BEGINNING
NO_OFFSET = -1001


class KafkaBridge:
    """`topics` to write, by the names that `Routed` has; `inputs` are those to read.

    Whoever comes back with the same `instance_id` has its seat at once; another waits for the session to end.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        group: str,
        topics: Mapping[str, str],
        inputs: Sequence[str],
        instance_id: str | None = None,
    ) -> None:
        self.group, self.topics, self.inputs = group, topics, tuple(inputs)
        self.seated = False
        self.lost = False
        self.sources: set[Source] = set()
        self.lives: dict[str, str] = {}  # the ids of the input topics
        self.has_begun = False  # the bridge's own topic says that there were positions
        self.noted: dict[str, int] = {}  # the newest that it holds, by `place_of`
        self.admin = AdminClient(dict(config))
        common = {
            **config,
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }
        self.member = Consumer(
            {
                **common,
                "group.protocol": "classic",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 1_500,
                **({"group.instance.id": instance_id} if instance_id else {}),
            }
        )
        self.reader = Consumer(
            {
                **common,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 20,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": 32_768,
            }
        )
        self.writer = BridgeTransactions(config, group, topics, self.lives)

    def join(self) -> None:
        """Ask for the seat."""

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            consumer.incremental_assign([])
            self.seated = self.seated or bool(partitions)

        def taken(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self.lost = self.lost or bool(partitions)
            consumer.incremental_unassign([])

        self.member.subscribe([self.topics["bridge"]], on_assign=assigned, on_revoke=taken, on_lost=taken)

    def has_seat(self, timeout_s: float) -> bool:
        """Whether this process is the one that bridges; waits for so long.

        Raises:
            Fenced: it was, and is no longer.
        """
        self.member.poll(timeout_s)
        if self.lost:
            raise Fenced("bridge: another process took over")
        return self.seated

    def begin(self, restore: Restore) -> None:
        """Fence the process before, and restore what it kept."""
        self.writer.fence()
        for message in self.kept():
            record = to_record(message, EVENT)
            if record.key is None and record.value is not None:
                self.noted.update(orjson.loads(record.value))
            else:
                restore(record.key, record.value, record.headers)

    def kept(self) -> Iterable[Message]:
        """All records of the bridge's own topic up to its end now."""
        own = TopicPartition(self.topics["bridge"], 0, EARLIEST)
        # What was trimmed held positions; what was aborted did not.
        self.has_begun = self.reader.get_watermark_offsets(own, METADATA_TIMEOUT_S)[0] > 0
        self.reader.assign([own])
        while True:
            for message in self.reader.consume(1_000, 1.0):
                error = message.error()
                if error is None:
                    self.has_begun = True
                    yield message
                elif error.code() == END:
                    self.reader.unassign()
                    return
                elif not error.retriable():
                    raise KafkaException(error)

    def look_for_partitions(self) -> dict[Source, int]:
        """Begin to read partitions that are new from where the process before ended, and give where that is.

        Without a position it is from the earliest on.

        Raises:
            Refused: an input topic is missing, or the broker has forgotten all positions.
        """
        self.check_lives()
        found: list[TopicPartition] = []
        for topic in self.inputs:
            about = self.reader.list_topics(topic, METADATA_TIMEOUT_S).topics[topic]
            if about.error is not None:
                raise Refused(
                    f"the input topic {topic} cannot be read ({about.error})",
                    "Correct its name in inputs=, create it, or let this user describe it",
                )
            found += [TopicPartition(topic, n) for n in about.partitions if (topic, n) not in self.sources]
        places = self.reader.committed(found, METADATA_TIMEOUT_S) if found else []
        forgotten = all(place.offset == NO_OFFSET for place in places)
        if self.has_begun and not self.sources and forgotten:
            raise Refused(
                f"the brokers have forgotten the positions of group {self.group}, so that records would be "
                "bridged again",
                f"Set them to where it stood, then raise offsets.retention.minutes: {self.reset('TOPIC')} "
                "--to-datetime YYYY-MM-DDTHH:MM:SS.sss",
            )
        for place in places:
            self.refuse_older(place)
            if place.offset == NO_OFFSET or self.is_of_another_life(place):
                place.offset = self.reader.get_watermark_offsets(place, METADATA_TIMEOUT_S)[0]
            self.reader.incremental_assign([place])
        fresh = {(place.topic, place.partition): place.offset for place in places}
        self.sources.update(fresh)
        return fresh

    def refuse_older(self, place: TopicPartition) -> None:
        """A coordinator was seen to show positions of minutes ago after a restart (ADR 4).

        Raises:
            Refused: the broker has an older position than the bridge noted in its own topic.
        """
        noted = self.noted.get(self.place_of(place.topic, place.partition), 0)
        if 0 <= place.offset < noted and not self.is_of_another_life(place):
            where = f"{place.topic}:{place.partition}"
            raise Refused(
                f"the broker has position {place.offset} of {where}, and the bridge had committed {noted}: "
                "records would be bridged again",
                "Restart the broker that coordinates the group: it reads them again. Or set it: "
                f"{self.reset(where)} --to-offset {noted}",
            )

    def place_of(self, topic: str, partition: int) -> str:
        """What a position belongs to: a partition of a topic as long as that has the same id."""
        return f"{topic}/{partition}/{self.lives.get(topic, '')}"

    def check_lives(self) -> None:
        """Compare the ids of the input topics with those at the start.

        Raises:
            ShardFailed: one was created again, so positions in it mean nothing any more; or no broker says.
        """
        for topic, life in topic_ids(self.admin, self.inputs, METADATA_TIMEOUT_S).items():
            if self.lives.setdefault(topic, life) != life:
                raise ShardFailed(f"bridge: the input topic {topic} was created again")

    def is_of_another_life(self, place: TopicPartition) -> bool:
        """Whether a position is one in a topic that was deleted; where nobody knows, it is not."""
        life = self.lives.get(place.topic)
        return bool(life and place.metadata) and place.metadata != life

    def reset(self, topic: str) -> str:
        """The command that sets positions, but for where to; it needs that nobody bridges."""
        return (
            "with every bridge stopped, kafka-consumer-groups --bootstrap-server … --execute --reset-offsets "
            f"--group {self.group} --topic {topic}"
        )

    def poll(self, limit: int, timeout_s: float) -> BridgePolled:
        """Up to `limit` records now, waiting `timeout_s` for the first.

        Raises:
            Refused: records were deleted before they were bridged.
            KafkaException: a fault that the client does not get over by itself.
        """
        messages = self.reader.consume(limit, 0.0) or self.reader.consume(1, timeout_s)
        records: list[tuple[Source, Record]] = []
        ends: dict[Source, int] = {}
        for message in messages:
            source = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                records.append((source, to_record(message, EVENT)))
                ends.pop(source, None)
            elif error.code() == END:
                ends[source] = message.offset() or 0
            elif error.code() in CUT:
                raise Refused(
                    f"records of {source[0]}/{source[1]} were deleted before they were bridged",
                    f"Raise retention.ms of {source[0]}. To go on without them: "
                    f"{self.reset(f'{source[0]}:{source[1]}')} --to-earliest",
                )
            elif not error.retriable() and error.code() not in PASSING:
                raise KafkaException(error)
        return BridgePolled(records, ends)

    def pause(self, sources: Sequence[Source]) -> None:
        """Fetch no more of these for now."""
        self.reader.pause([TopicPartition(*source) for source in sources])

    def resume(self, sources: Sequence[Source]) -> None:
        """Fetch them again."""
        self.reader.resume([TopicPartition(*source) for source in sources])

    def commit(self, routed: Sequence[Routed], positions: Mapping[Source, int], waiting: int) -> int | None:
        """Write one transaction, see `BridgeTransactions.commit`; it notes its positions, too, and how many
        labels wait.
        """
        if positions:
            places = {self.place_of(*source): at for source, at in positions.items()}
            note = Routed("bridge", None, orjson.dumps(places), 0, 0, [(WAITING_LABELS, b"%d" % waiting)])
            routed = [*routed, note]
        return self.writer.commit(routed, positions, self.member.consumer_group_metadata())

    def ends(self) -> dict[Source, int]:
        """The high watermark of each input partition, as far as it is known without asking."""
        found = {}
        for topic, partition in self.sources:
            with suppress(KafkaException):
                marks = self.reader.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
                if marks[1] >= 0:
                    found[topic, partition] = marks[1]
        return found

    def trim(self, before: int) -> None:
        """Delete what the bridge's own topic holds before an offset; done in the background."""
        self.admin.delete_records([TopicPartition(self.topics["bridge"], 0, before)])

    def close(self) -> None:
        """Leave the group and let go of the clients."""
        self.writer.close()
        self.reader.close()
        with suppress(KafkaException):
            self.member.unsubscribe()
        for _ in range(LEAVE_POLLS):
            if self.lost or not self.seated:
                break
            self.member.poll(0.05)
        self.member.close()


# Conditions that librdkafka reports through the queue and heals by itself.
PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
