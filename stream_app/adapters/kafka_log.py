"""confluent-kafka: the group member that reads the inputs of owned shards.

The group subscribes to the events topic only; labels and commands of an owned shard are assigned by hand
beside it, so one assignment decides all three. `on_assign` assigns nothing: a shard is read only after its
recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from stream_app.adapters.kafka_record import CUT, group_by_partition
from stream_app.adapters.topic_ids import topic_ids
from stream_app.errors import Refused
from stream_app.ports import Polled, Positions
from topics.envelope import EVENT, RANKS

METADATA_TIMEOUT_S = 2.0
LEAVE_POLLS = 100  # of 50 ms, at most
GENERATION = slice(7, 11)  # of the serialised group metadata "CGMDv2:<int32 generation>…" (librdkafka)
NO_GENERATION = b"\xff\xff\xff\xff"


class KafkaLog:
    """`input_topics` by rank: commands, events, labels. Not thread-safe, but for `topic_ids`."""

    def __init__(
        self, config: Mapping[str, Any], group: str, input_topics: tuple[str, ...], **tuning: Any
    ) -> None:
        self.topics = input_topics
        self.rank_of = {topic: rank for rank, topic in enumerate(input_topics)}
        self.held: set[int] = set()
        self.admin = AdminClient(dict(config))
        self.instance_id: str | None = tuning.get("group.instance.id")
        self.may_succeed = self.instance_id is not None
        self.consumer = Consumer(
            {
                **config,
                "group.id": group,
                "group.protocol": "classic",
                "partition.assignment.strategy": "cooperative-sticky",
                "heartbeat.interval.ms": 1_500,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 20,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": 32_768,
                **tuning,
            }
        )

    def subscribe(
        self, on_assign: Callable[[list[int]], None], on_revoke: Callable[[list[int], bool], None]
    ) -> None:
        """Join the group; callbacks get shard numbers and run inside `poll`."""

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            consumer.incremental_assign([])
            shards = [p.partition for p in partitions]
            self.held.update(shards)
            on_assign(shards)
            if self.may_succeed:
                # A successor takes its predecessor's place without a rebalance. Shards that the predecessor
                # was to let go, but died before it said so, would stay with no one until the group's members
                # change. The same topic as a pattern is a changed subscription: all is shared out again.
                self.may_succeed = False
                consumer.subscribe([f"^{self.topics[EVENT].replace('.', '[.]')}$"], **callbacks)

        def taken(consumer: Consumer, partitions: list[TopicPartition], lost: bool) -> None:
            shards = [p.partition for p in partitions]
            self.held.difference_update(shards)
            on_revoke(shards, lost)
            # Where no call was made the client unassigns all of them by itself, and fails on a shard that was
            # not yet read: the rebalance, and with it every other member, would wait for this one's session.
            consumer.incremental_unassign([])

        def revoked(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            taken(consumer, partitions, False)

        def lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            taken(consumer, partitions, True)

        callbacks = {"on_assign": assigned, "on_revoke": revoked, "on_lost": lost}
        for topic in self.topics:
            # Else the client may find out a second after the assignment who leads them; a broker that is down
            # now is found by itself later.
            with suppress(KafkaException):
                self.consumer.list_topics(topic, METADATA_TIMEOUT_S)
        self.consumer.subscribe([self.topics[EVENT]], **callbacks)

    def poll(self, limit: int, timeout_s: float) -> Polled:
        """Up to `limit` records now, waiting `timeout_s` for the first; callbacks run inside.

        Raises:
            Refused: another member of the group has this one's --instance-id.
            KafkaException: any other fault that the client does not get over by itself.
        """
        messages: list[Message] = self.consumer.consume(limit, 0.0)
        if not messages and timeout_s:
            messages = self.consumer.consume(1, timeout_s)
            if messages:
                messages += self.consumer.consume(limit, 0.0)
        found = group_by_partition(messages, self.rank_of)
        cut: dict[tuple[int, int], str] = {}
        for source, error in found.faults:
            if error.code() in CUT:
                cut[source] = error.str()
            elif fenced(error):
                raise Refused(
                    f"another learner runs with --instance-id {self.instance_id}",
                    "Give each learner an --instance-id of its own",
                )
            elif not error.retriable() and error.code() not in PASSING:
                raise KafkaException(error)
        return Polled(found.records, found.ends, cut)

    def group(self) -> bytes | None:
        """Ask the client's own thread and wait: once a commit, not once a poll. No other member gets a shard
        of ours before a poll has reported it, so that this one's generation is ours to commit under.
        """
        group: bytes = self.consumer.consumer_group_metadata()
        return None if group[GENERATION] == NO_GENERATION else group

    def start(self, shard: int, positions: Positions) -> None:
        """Read a recovered shard's three inputs from these positions on, whatever was paused before."""
        inputs = [TopicPartition(self.topics[rank], shard, positions[rank]) for rank in RANKS]
        # The client keeps a pause beyond the end of an assignment. It is ended before the next one: a resumed
        # partition goes on where it was, and the positions given here must have the last word.
        self.consumer.resume(inputs)
        self.consumer.incremental_assign(inputs)

    def stop(self, shard: int) -> None:
        """Stop reading a shard, whether or not the group still grants it."""
        mine = {(p.topic, p.partition) for p in self.consumer.assignment()}
        held = [TopicPartition(topic, shard) for topic in self.topics if (topic, shard) in mine]
        if held:
            self.consumer.incremental_unassign(held)

    def pause(self, shard: int, rank: int) -> None:
        self.consumer.pause([TopicPartition(self.topics[rank], shard)])

    def resume(self, shard: int, rank: int) -> None:
        self.consumer.resume([TopicPartition(self.topics[rank], shard)])

    def topic_ids(self) -> dict[str, str]:
        """Read the ids of the input topics; a topic created again has another. Old brokers give none."""
        return topic_ids(self.admin, list(self.topics), METADATA_TIMEOUT_S)

    def ends(self, shard: int) -> list[int | None]:
        """High watermarks by rank as the last answers to fetches gave them; they count control records."""
        found: list[int | None] = []
        for topic in self.topics:
            try:
                marks = self.consumer.get_watermark_offsets(TopicPartition(topic, shard), cached=True)
            except KafkaException:  # it is not read yet
                marks = None
            found.append(marks[1] if marks and marks[1] >= 0 else None)
        return found

    def close(self) -> None:
        """Leave the group. In the middle of a rebalance the client's own `close` can wait forever: it gives
        the shards back when it answers a queued assignment, and then is asked once more. So they are given
        back first.
        """
        with suppress(KafkaException):  # of a member that was fenced
            self.consumer.unsubscribe()
        for _ in range(LEAVE_POLLS):
            self.consumer.consume(1_000, 0.05)
            if not self.held:
                break
        self.consumer.close()


def fenced(error: KafkaError) -> bool:
    """Whether a newer member took this one's instance id; the client reports that as a fatal error."""
    return error.code() == KafkaError.FENCED_INSTANCE_ID or (
        error.code() == KafkaError._FATAL and "fenced" in error.str().lower()
    )


# Conditions that librdkafka reports through the queue and heals by itself.
PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    # A topic was deleted, or a broker that has just started does not know it yet: the loop's inspection asks.
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
