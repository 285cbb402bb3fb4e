"""One shard behind the ports: what a contract test of a port needs of whoever implements them."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any, TypeAlias
from uuid import uuid4

from confluent_kafka import Producer
from kafka import KafkaAdminClient, TopicPartition

from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_log import GENERATION, KafkaLog
from stream_app.adapters.kafka_replay import BUFFER_HIGH, KafkaReplay
from stream_app.adapters.kafka_writer import KafkaWriter
from stream_app.ports import InputLog, Polled, ReplaySource
from stream_app.wiring.learner import input_topics, output_topics
from tests.faults.committed import read_topic
from tests.scenario.fake_kafka import Log, Source, Writer
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import application
from topics.catalog import catalog
from topics.envelope import RANK_NAMES, Record

Bench: TypeAlias = "FakeBench | KafkaBench"
SHARD = 0
WITHIN_S = 30.0


class FakeBench:
    """The fake that scenarios use, with what `KafkaBench` has."""

    def __init__(self) -> None:
        self.world = World(application())
        self.world.group = None

    def log(self) -> Log:
        log = Log(self.world)
        granted: list[int] = []
        log.subscribe(granted.extend, lambda _shards, _lost: None)
        until(lambda: bool(log.poll(1, 0.0)) and bool(granted))
        return log

    def other_generation(self) -> bytes:
        return self.world.generation + b" and another"

    def source(self, buffer_high: int = BUFFER_HIGH, life: str = "") -> Source:
        return Source(self.world, life)

    def writer(self, life: str = "") -> Writer:
        return Writer(self.world, life)

    def write(self, rank: int, n: int, *, commit: bool = True) -> None:
        end = self.world.end(rank)
        if commit:
            values = [f"{number}".encode() for number in range(n)]
            records = [Record(rank, end + at, 1, b"k", value) for at, value in enumerate(values)]
            self.world.inputs[rank] += records
        self.world.marks[rank] = end + n + 1

    def cut(self, topic: str, before: int) -> None:
        if topic == "journal":
            self.world.journal_low = before
        else:
            self.world.low[RANK_NAMES.index(topic)] = before

    def committed(self, topic: str) -> list[bytes | None]:
        if topic == "journal":
            return list(self.world.journal)
        if topic == "predictions":
            return list(self.world.predictions)
        return [send.value for send in self.world.written if send.topic == topic]

    def close(self) -> None:
        """Nothing is held."""


class KafkaBench:
    """Shard 0 of an application of its own on a real broker."""

    def __init__(self, servers: str) -> None:
        self.servers, self.name = servers, f"port-{uuid4().hex[:8]}"
        self.topics = catalog(self.name, 1)
        self.inputs = input_topics(self.topics)
        self.config: dict[str, Any] = {"bootstrap.servers": servers}
        with TopicAdmin({"bootstrap_servers": [servers]}) as admin:
            admin.create(self.topics)
        self.opened: list[Any] = []

    def log(self) -> KafkaLog:
        """A member of the group that was granted the shard."""
        log = KafkaLog(self.config, self.name, self.inputs)
        granted: list[int] = []
        log.subscribe(granted.extend, lambda _shards, _lost: None)
        self.opened.append(log)
        until(lambda: bool(log.poll(1, 0.02)) and bool(granted))
        return log

    def other_generation(self) -> bytes:
        """The metadata of a generation that the group does not have."""
        member = next((client for client in self.opened if isinstance(client, KafkaLog)), None) or self.log()
        group = member.group()
        assert group is not None
        return group[: GENERATION.start] + struct.pack("<i", 1_000) + group[GENERATION.stop :]

    def source(self, buffer_high: int = BUFFER_HIGH, life: str = "") -> KafkaReplay:
        """A replay's reader."""
        source = KafkaReplay(
            self.config,
            self.name,
            SHARD,
            self.topics.journal.name,
            self.topics.predictions.name,
            self.inputs,
            buffer_high,
            life,
        )
        self.opened.append(source)
        return source

    def writer(self, life: str = "", servers: str = "") -> KafkaWriter:
        """The shard's transactional producer, not yet fenced; at another address of the broker if given."""
        writer = KafkaWriter(
            {"bootstrap.servers": servers or self.servers},
            f"{self.name}.{SHARD}",
            SHARD,
            output_topics(self.topics),
            self.inputs,
            life=life,
        )
        self.opened.append(writer)
        return writer

    def write(self, rank: int, n: int, *, commit: bool = True) -> None:
        """Append records to an input in one transaction, which leaves a control record behind them."""
        producer = Producer({**self.config, "transactional.id": f"{self.name}-feed"})
        producer.init_transactions(WITHIN_S)
        producer.begin_transaction()
        for number in range(n):
            producer.produce(self.inputs[rank], f"{number}".encode(), b"k", partition=SHARD)
        producer.flush(WITHIN_S)
        if commit:
            producer.commit_transaction(WITHIN_S)
        else:
            producer.abort_transaction(WITHIN_S)

    def cut(self, topic: str, before: int) -> None:
        """Delete a topic's records below an offset, as retention does; `topic` by the catalog's attribute."""
        admin = KafkaAdminClient(bootstrap_servers=self.servers)
        try:
            admin.delete_records({TopicPartition(getattr(self.topics, topic).name, SHARD): before})
        finally:
            admin.close()

    def committed(self, topic: str) -> list[bytes | None]:
        """The values in a topic that a read_committed consumer of another client library sees."""
        (records,) = read_topic(self.servers, getattr(self.topics, topic).name, 1)
        return [record.value for record in records]

    def close(self) -> None:
        """Let go of every client."""
        for client in self.opened:
            client.close()


def polled(log: InputLog, enough: Callable[[Polled], bool]) -> Polled:
    """Poll until the sum of what came is enough."""
    found = Polled({}, {}, {})

    def poll() -> bool:
        more = log.poll(100, 0.02)
        for source, records in more.records.items():
            found.records.setdefault(source, []).extend(records)
            found.ends.pop(source, None)
        found.ends.update(more.ends)
        found.cut.update(more.cut)
        return enough(found)

    until(poll)
    return found


def taken(source: ReplaySource, rank: int, n: int, end: int) -> list[Record]:
    """What `take` gives once it is all here."""
    found: list[list[Record]] = []

    def take() -> bool:
        if (records := source.read_next(rank, n, end)) is not None:
            found.append(records)
        return bool(found)

    until(take)
    return found[0]


def until(holds: Callable[[], bool]) -> None:
    """Ask again and again, for so long at most."""
    deadline_s = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {WITHIN_S:.0f} s"
