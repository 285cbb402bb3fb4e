"""confluent-kafka: the bridge's transactional producer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stream_app.adapters.transactions import COMMIT_TIMEOUT_S, Transactions
from stream_app.bridge_port import Routed, Source
from stream_app.errors import Refused, ShardFailed

# Why a topic does not take a record, however often it is sent.
UNTAKEN = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.INVALID_RECORD,
    KafkaError.POLICY_VIOLATION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}


class BridgeTransactions(Transactions):
    """Writes what one batch was translated to; `topics` maps the names in `Routed` to topics.

    Each position carries the id of its topic, of `lives`: it means nothing in a topic that was created again.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        transactional_id: str,
        topics: Mapping[str, str],
        lives: Mapping[str, str],
    ) -> None:
        # By Java's default, as readers of the user's topic expect; ours are placed by hand.
        super().__init__(
            {**config, "partitioner": "murmur2_random"},
            transactional_id,
            "bridge",
            own=[(topics["bridge"], 0)],
        )
        self.topics, self.lives = topics, lives
        self.kept_offset: int | None = None
        self.untaken: KafkaError | None = None  # why the user's topic does not take a record

    def commit(self, routed: Sequence[Routed], positions: Mapping[Source, int], group: Any) -> int | None:
        """Write one transaction; give the offset of its newest record in the bridge's own topic.

        Raises:
            Fenced, ShardFailed: it was not committed.
            Refused: the topic in outputs= does not take a record.
        """
        producer = self.renew_if_lost()
        self.kept_offset = None
        try:
            producer.begin_transaction()
            for record in routed:
                try:
                    self.produce(record)
                except BufferError:
                    self.make_room()
                    self.produce(record)
            offsets = [
                TopicPartition(topic, part, at, self.lives.get(topic, ""))
                for (topic, part), at in positions.items()
            ]
            if offsets:
                self.send_offsets(offsets, group)
            producer.commit_transaction(COMMIT_TIMEOUT_S)
        except KafkaException as error:
            failed = self.failure(error)
            producer.poll(0)
            if self.untaken is not None:
                raise Refused(
                    f"topic {self.topics['output']} does not take a prediction ({self.untaken.str()})",
                    "Raise its max.message.bytes or message.timestamp.before.max.ms, or correct its rights; "
                    "without outputs=, events and labels are bridged alone",
                ) from error
            raise failed from error
        producer.poll(0)
        if self.write_errors:
            raise ShardFailed(f"bridge: committed without a delivery report ({self.write_errors})")
        return self.kept_offset

    def produce(self, record: Routed) -> None:
        """Queue one record."""
        topic, key, value, partition, time_ms, headers = record
        report = {"bridge": self.kept, "output": self.copied}.get(topic, self.delivered)
        self.producer.produce(
            self.topics[topic],
            value,
            key,
            partition,
            report,
            None,
            time_ms,
            headers,  # type: ignore[arg-type]
        )

    def copied(self, error: KafkaError | None, message: Message) -> None:
        self.delivered(error, message)
        if error is not None and error.code() in UNTAKEN:
            self.untaken = error

    def kept(self, error: KafkaError | None, message: Message) -> None:
        self.delivered(error, message)
        self.kept_offset = None if error else message.offset()
