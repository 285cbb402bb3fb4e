"""Faust as ops runs it: committed records alone, one owner of all partitions, writes that can be awaited.

Faust reads uncommitted records unless its own exactly_once is on, which showed duplicates after a kill. One
process owns everything, since grouping, rates and silences span shards; a second one of the group stands by.
Source: ADR 11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faust
from aiokafka.abc import AbstractTokenProvider
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from faust.transport.drivers import aiokafka as driver

from stream_app.tokens import TokenProvider

if TYPE_CHECKING:
    from aiokafka.cluster import ClusterMetadata
    from faust.types import TP, FutureMessage

COMMIT_S = 1.0


class CommittedThread(driver.AIOKafkaConsumerThread):
    """Makes the consumer that a transactional one of Faust would be, and is not transactional itself.

    Its seek goes back to the beginning where nothing is committed. aiokafka's leaves such a partition where
    it is, which is behind what was fetched and thrown away while the tables recovered.

    Faust looks now and then for partitions that are stuck, and fails at one whose position aiokafka does not
    know yet, as after a rebalance: that ended the process which had just taken over.
    """

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Log a partition that is stuck; one without a position is not."""
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001  only Faust's way leads to it
        assignment = fetcher._subscriptions.subscription.assignment  # noqa: SLF001
        state = assignment.state_value(tp) if assignment else None
        if state is not None and state.has_valid_position:
            super().verify_event_path(now, tp)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the committed offsets, and to the beginning where there is none."""
        offsets: Mapping[TP, int] = await self.call_thread(self.rewind)
        return offsets

    async def rewind(self) -> Mapping[TP, int]:
        """The same, on the consumer's thread. A changelog is where recovery left it."""
        consumer = self._ensure_consumer()
        offsets: Mapping[TP, int] = await consumer.seek_to_committed()
        changelogs = self.consumer.app.tables.changelog_topics
        fresh = [tp for tp, offset in offsets.items() if not offset and tp.topic not in changelogs]
        if fresh:
            await consumer.seek_to_beginning(*fresh)
        return offsets

    def _create_worker_consumer(self, transport: Any) -> Any:
        self.consumer.in_transaction = True  # read for the isolation level alone
        try:
            return super()._create_worker_consumer(transport)
        finally:
            self.consumer.in_transaction = False


class CommittedConsumer(driver.Consumer):
    """Reads committed records, every one of them, and commits no offset beyond one still to be acknowledged.

    Faust looks for such a gap between the last committed offset and the first acknowledged one. It passes
    over a gap of one, and over any before the first commit. A kill then loses what lies in it: of an agent
    that was held up, or that acknowledges after a rebalance what it had read before.

    When the tables have recovered, Faust seeks the partitions to their committed offsets, then empties the
    agents' queues. It still reads meanwhile: what it put into a queue after the seek would never be seen.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.first: dict[TP, int] = {}

    def track_message(self, message: Any) -> None:
        """Remember where reading began."""
        self.first.setdefault(message.tp, message.offset)
        super().track_message(message)

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, and read nothing until Faust resumes the flow after that."""
        self.stop_flow()
        await super().perform_seek()

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit; None if a record before it is not acknowledged."""
        acked = self._acked[tp]
        if not acked:
            return None
        committed = self._committed_offset[tp] or 0  # messages from before a seek can outlive it: not due
        due = [m.offset for m in self._unacked_messages if m.tp == tp and m.offset >= committed]
        if not committed:
            due.append(self.first.get(tp, 0))
        if due and min(due) < min(acked):
            return None
        return super()._new_offset(tp)

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """Kafka, read_committed."""

    Consumer = CommittedConsumer


class OneOwner(PartitionAssignor):
    """All partitions to one member: whoever has them, else the first by name."""

    def assign(self, cluster: ClusterMetadata, member_metadata: Mapping[str, Any]) -> Any:
        members = dict(sorted(member_metadata.items()))
        holders = [
            name
            for name, metadata in members.items()
            if ClientMetadata.loads(metadata.user_data).assignment.actives
        ]
        owner = (holders or list(members))[0]
        result = dict(super().assign(cluster, {owner: members.pop(owner)}))
        for name, metadata in members.items():
            metadata.subscription = []
            result.update(super().assign(cluster, {name: metadata}))
        return result


class DurableTable(faust.Table[str, Any]):
    """A table of one partition; `written` waits until Kafka has every change."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.unwritten: list[FutureMessage] = []

    def send_changelog(self, *args: Any, **options: Any) -> FutureMessage:
        """Remember what is on its way."""
        sent = super().send_changelog(*args, **options)
        self.unwritten.append(sent)
        return sent

    async def flushed(self) -> None:
        """Return once all changes so far are in the changelog; raises what the producer raised.

        Every caller waits for all of them, also for those that another waits for: if one took them away, the
        others would acknowledge records whose changes a kill can still lose.
        """
        sent = list(self.unwritten)
        if sent:
            await asyncio.wait(sent)
        for change in sent:
            change.result()
        self.unwritten = [change for change in self.unwritten if not change.done()]

    def partition_for_key(self, key: Any) -> int:  # noqa: ARG002
        """The one there is, from whatever changes the table: agents, routes, orders."""
        return 0


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Tokens as aiokafka asks for them."""

    def __init__(self, tokens: TokenProvider) -> None:
        self.tokens = tokens

    async def token(self) -> str:
        """A token; asked on a thread, since a function of the user's may take its time."""
        return await asyncio.to_thread(self.tokens.token)


def credentials(words: Mapping[str, Any]) -> Any:
    """Faust's credentials from the settings' words; None without TLS and SASL."""
    context = words.get("ssl_context")
    if "tokens" in words:
        return faust.OAuthCredentials(oauth_cb=Tokens(words["tokens"]), ssl_context=context)
    if "mechanism" in words:
        return faust.SASLCredentials(
            mechanism=words["mechanism"],
            username=words["username"],
            password=words["password"],
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context=context)


def faust_app(
    group: str, words: Mapping[str, Any], directory: Path, *, replication: int, session_s: float
) -> faust.App:
    """An app of this consumer group; `words` are `settings.kafka.faust()`, `directory` stays empty."""
    app = faust.App(
        group,
        broker=words["broker"],
        broker_credentials=credentials(words),
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 4,
        broker_commit_interval=COMMIT_S,
        consumer_auto_offset_reset="earliest",
        store="memory://",
        datadir=directory,
        topic_partitions=1,
        topic_replication_factor=replication,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=False,
        web_enabled=False,
        autodiscover=False,
        logging_config=None,
        PartitionAssignor=OneOwner,
    )
    app.transport = CommittedTransport(app.conf.broker_consumer, app)
    app.producer_transport = CommittedTransport(app.conf.broker_producer, app)
    return app


def raw_topic(app: faust.App, name: str, partitions: int) -> Any:
    """A topic of the application as bytes: what cannot be decoded must not end an agent."""
    return app.topic(
        name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        allow_empty=True,
    )


def kept_table(app: faust.App, name: str) -> DurableTable:
    """A table under the group's name."""
    table = DurableTable(
        app,
        name=name,
        partitions=1,
        key_type=str,
        value_type=None,
        extra_topic_configs={"cleanup.policy": "compact"},
    )
    app.tables.add(table)
    return table
