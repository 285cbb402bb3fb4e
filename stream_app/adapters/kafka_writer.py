"""confluent-kafka: one transactional producer for one shard, its transactional.id = `<app>.<shard>`.

Two fences guard every commit: the producer epoch (a successor's `init_transactions` ends ours) and the group
generation captured right after the poll that brought the batch (KIP-447). Alone, the second is not enough: a
live member that lost the shard was measured to commit its offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stream_app.adapters.transactions import COMMIT_TIMEOUT_S, Transactions
from stream_app.errors import ShardFailed
from stream_app.ports import Commit, Send
from topics.envelope import RANKS

# What must be seen whole or not at all. A receipt or an alert has an id of its own: once more does no harm.
WHOLE = ("journal", "predictions", "dead_letters")
OWN = (*WHOLE, "stats")  # what is aborted with them: statistics of a batch that is lost would be wrong


class KafkaWriter(Transactions):
    """`topics` maps the catalog's attribute names to topic names; used by one helper thread at a time.

    The offsets that it commits carry `life`: a learner may outlive its topics by one commit, and the group
    keeps that when the topics are created again. Transactions of others write the topics `shared`, too.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        transactional_id: str,
        shard: int,
        topics: Mapping[str, str],
        input_topics: tuple[str, ...],
        transaction_timeout_ms: int = 10_000,
        life: str = "",
        shared: tuple[str, ...] = (),
    ) -> None:
        own = [(topics[name], shard) for name in OWN if name in topics and name not in shared]
        super().__init__(config, transactional_id, f"shard {shard}", transaction_timeout_ms, own)
        self.shard = shard
        self.topics = topics
        self.input_topics = input_topics
        self.life = life
        self.journal_offset: int | None = None
        self.unproven: set[str] = set()  # of WHOLE, where the newest transactions may be open still

    def commit(self, commit: Commit, group: bytes | None) -> int | None:
        """Write one transaction, see the port."""
        producer = self.renew_if_lost()
        self.journal_offset = None
        try:
            producer.begin_transaction()
            # One by one: produce_batch takes no timestamps (2.16), and a prediction carries event time. By
            # place, for nothing is stepped meanwhile and arguments by name take half as long again.
            produce, predictions, shard = producer.produce, self.topics["predictions"], self.shard
            report: Callable[..., None] | None = self.delivered  # of the first alone: where they begin
            for value, key, time_ms in commit.predictions:
                try:
                    produce(predictions, value, key, shard, report, None, time_ms)
                except BufferError:
                    self.make_room()
                    produce(predictions, value, key, shard, report, None, time_ms)
                report = None
            for send in commit.others:
                try:
                    self.send(send)
                except BufferError:
                    self.make_room()
                    self.send(send)
            if commit.journal is not None:
                producer.produce(
                    self.topics["journal"], commit.journal, partition=self.shard, on_delivery=self.journaled
                )
            if group is not None:
                offsets = [
                    TopicPartition(self.input_topics[r], self.shard, commit.positions[r], self.life)
                    for r in RANKS
                ]
                self.send_offsets(offsets, group)
            written = written_whole(commit)
            if not self.unproven <= written and (not written or self.doubts()):
                # What is open there would not be ended with this one, and be aborted by whoever comes next.
                void = self.overlooked()
                if void:
                    raise ShardFailed(void)
                self.unproven = set()
            producer.commit_transaction(COMMIT_TIMEOUT_S)
        except KafkaException as error:
            raise self.failure(error) from error
        self.note_time()
        producer.poll(0)
        unreported = commit.journal is not None and self.journal_offset is None
        if self.write_errors or unreported:
            raise ShardFailed(
                f"shard {self.shard}: committed without a delivery report ({self.write_errors})"
            )
        self.unproven |= written
        return self.journal_offset

    def send(self, send: Send) -> None:
        """Queue one record that is no prediction."""
        headers: list[Any] = send.headers or []
        self.producer.produce(
            self.topics[send.topic],
            send.value,
            send.key,
            partition=self.shard,
            headers=headers,
            timestamp=send.time_ms,
            on_delivery=self.delivered,
        )

    def journaled(self, error: KafkaError | None, message: Message) -> None:
        self.delivered(error, message)
        self.journal_offset = None if error else message.offset()


def written_whole(commit: Commit) -> set[str]:
    """The topics of WHOLE that a transaction writes."""
    found = {send.topic for send in commit.others if send.topic == "dead_letters"}
    if commit.predictions:
        found.add("predictions")
    if commit.journal is not None:
        found.add("journal")
    return found
