"""A transaction that a broker called over and did not end everywhere: the successor aborts what is open."""

from __future__ import annotations

import math
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka.record.default_records import DefaultRecordBatchBuilder

from stream_app.adapters.kafka_writer import KafkaWriter
from stream_app.embedded import kafka
from stream_app.embedded import services as embedded
from stream_app.embedded.ports import LOOPBACK
from stream_app.errors import ShardFailed, StaleGroup
from stream_app.ports import Commit, Send
from tests.contract.port_bench import SHARD, KafkaBench, until
from tests.faults.proxy import receive
from tests.faults.test_late_requests import batch

# So that a record which belongs to no transaction can be written, as none did after its marker was skipped.
UNVERIFIED = f"{kafka.PROPERTIES}\ntransaction.partition.verification.enable=false\n"
INITIALIZED = r"Initialized transactionalId {} with producerId (\d+) and producer epoch (\d+)"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port and the log of a broker that does not ask whether a transaction is open."""
    tmp_path = tmp_path_factory.mktemp("broker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "PROPERTIES", UNVERIFIED)
        server = embedded.start_kafka(tmp_path)
    try:
        yield server.port, tmp_path / "kafka" / kafka.LOG
    finally:
        embedded.down(tmp_path)


def leave_open(bench: KafkaBench, port: int, log: Path, topic: str, value: bytes) -> None:
    """Write a record of the newest producer's transaction, which the coordinator knows nothing of."""
    name = f"{bench.name}.{SHARD}"
    ((producer_id, epoch),) = re.findall(INITIALIZED.format(re.escape(name)), log.read_text())[-1:]
    made = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=1,
        producer_id=int(producer_id),
        producer_epoch=int(epoch),
        base_sequence=1,
        batch_size=1_000,
    )
    made.append(0, timestamp=None, key=None, value=value, headers=[])
    records = bytes(made.build())

    def text(value: str) -> bytes:
        return struct.pack(">h", len(value)) + value.encode()

    body = text(name) + struct.pack(">hii", -1, 10_000, 1) + text(topic)
    body += struct.pack(">iii", 1, SHARD, len(records)) + records
    request = struct.pack(">hhi", 0, 3, 1) + text("test") + body  # Produce, version 3
    with socket.create_connection((LOOPBACK, port), 10) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = receive(connection)
    (error,) = struct.unpack_from(">h", answer, 4 + 4 + 4 + 2 + len(topic) + 4 + 4)
    assert error == 0


@pytest.fixture
def bench(broker: tuple[int, Path]) -> Iterator[KafkaBench]:
    """A shard on it whose writer has committed one batch."""
    with closing(KafkaBench(f"{LOOPBACK}:{broker[0]}")) as made:
        writer = made.writer()
        writer.fence()
        assert writer.commit(batch("one"), None) == 0
        until(lambda: writer.left_open() == [])  # the end is acknowledged before it is written everywhere
        yield made


def writer_of(bench: KafkaBench) -> KafkaWriter:
    """The bench's only one."""
    (writer,) = (client for client in bench.opened if isinstance(client, KafkaWriter))
    return writer


STATISTICS = Commit([], [Send("stats", b"0", b"{}")], None, [1, 2, 3])


def send_again_after_a_lost_connection(bench: KafkaBench) -> None:
    """By another producer."""
    writer = writer_of(bench)
    writer.lost()
    writer.commit(batch("two"), None)


def send_under_an_old_generation(bench: KafkaBench) -> None:
    """No journal record: it would have the number of the one that is left open, and be taken for that."""
    writer_of(bench).commit(STATISTICS, bench.other_generation())


def send_labels_alone(bench: KafkaBench) -> None:
    """Its marker would end the journal's part and not that of the predictions."""
    writer = writer_of(bench)
    writer.doubtful_until_s = math.inf  # a broker was slow
    writer.commit(Commit([], [], b"journal two", [1, 2, 3]), None)


def send_statistics(bench: KafkaBench) -> None:
    """As an idle shard does."""
    writer_of(bench).commit(STATISTICS, None)


@pytest.mark.parametrize(
    ("send", "topic"),
    [
        (send_again_after_a_lost_connection, "journal"),
        (send_under_an_old_generation, "journal"),
        (send_statistics, "journal"),
        (send_labels_alone, "predictions"),
    ],
)
def test_a_live_writer_fails_over_what_was_left_open(
    broker: tuple[int, Path], bench: KafkaBench, send: Callable[[KafkaBench], None], topic: str
) -> None:
    """It took that for committed: what aborts it, or ends a part of it, must not go on from there."""
    leave_open(bench, *broker, getattr(bench.topics, topic).name, b"lost")
    with pytest.raises(ShardFailed, match="called a transaction committed and left it open") as failed:
        send(bench)
    assert not isinstance(failed.value, StaleGroup)
    second = bench.writer()
    second.fence()
    assert second.left_open() == []
    assert bench.committed("journal") == [b"journal one"]


@pytest.mark.parametrize("send", [send_again_after_a_lost_connection, send_statistics, send_labels_alone])
def test_a_live_writer_goes_on_where_nothing_is_left_open(
    bench: KafkaBench, send: Callable[[KafkaBench], None]
) -> None:
    """After a batch that has just been committed too."""
    for name in ("two", "three"):
        writer_of(bench).commit(batch(name), None)
        send(bench)


def test_what_a_broker_left_open_is_aborted_before_anything_is_read(broker: tuple[int, Path]) -> None:
    """Else the marker of the next transaction would end both, and events have two predictions."""
    with closing(KafkaBench(f"{LOOPBACK}:{broker[0]}")) as bench:
        first = bench.writer()
        first.fence()
        assert first.commit(batch("one"), None) == 0
        until(lambda: first.left_open() == [])  # the end is acknowledged before it is written everywhere
        leave_open(bench, *broker, bench.topics.journal.name, b"journal lost")
        leave_open(bench, *broker, bench.topics.predictions.name, b"prediction lost")
        assert len(first.left_open()) == 2
        second = bench.writer()
        second.fence()
        assert second.left_open() == []
        second.commit(batch("two"), None)
        until(lambda: second.left_open() == [])
        assert bench.committed("journal") == [b"journal one", b"journal two"]
        assert bench.committed("predictions") == [b"prediction one", b"prediction two"]
