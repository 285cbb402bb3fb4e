"""Requests of one transaction that reach the broker in the next one, and requests without an answer."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream_app.adapters.kafka_writer import KafkaWriter
from stream_app.errors import ShardFailed, StaleGroup
from stream_app.ports import Commit
from tests.contract.port_bench import SHARD, KafkaBench, until
from tests.faults.proxy import END_TXN, PRODUCE, TXN_OFFSET_COMMIT, Far, Verdict, proxied

FENCED = (47, 90)  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """A broker of the test's own, with a proxy before it."""
    with proxied(tmp_path_factory.mktemp("proxied")) as found:
        yield found


def batch(name: str) -> Commit:
    """One prediction and its journal record."""
    return Commit([(f"prediction {name}".encode(), "k", 0)], [], f"journal {name}".encode(), [0, 0, 0])


@pytest.mark.parametrize("ending", ["commit", "abort"])
def test_a_late_end_of_a_transaction_does_not_end_the_next_one(far: Far, ending: str) -> None:
    """Sent again after a lost connection, its first copy comes in the middle of the next: nothing is torn."""
    with closing(KafkaBench(far.near)) as bench:
        end_late(far, bench, ending)


def end_late(far: Far, bench: KafkaBench, ending: str) -> None:
    """Commit one batch whose end is delayed, and deliver that while another is half written."""
    writer = bench.writer(servers=far.far)
    writer.fence()

    far.proxy.forget()

    def delay_one_end(key: int, _message: bytes) -> Verdict:
        first = key == END_TXN and not far.proxy.delayed
        return Verdict.DELAY if first else Verdict.PASS

    far.proxy.judge = delay_one_end
    if ending == "commit":
        assert writer.commit(batch("one"), None) == 0
    else:
        with pytest.raises(StaleGroup):
            writer.commit(batch("one"), bench.other_generation())
    (late,) = far.proxy.delayed

    def hold_the_journal(key: int, message: bytes) -> Verdict:
        held = key == PRODUCE and bench.topics.journal.name.encode() in message
        return Verdict.HOLD if held else Verdict.PASS

    far.proxy.judge = hold_the_journal
    thread = threading.Thread(target=doomed, args=(writer, batch("two")))
    thread.start()
    assert far.proxy.held.wait(30)
    until(lambda: in_log(far.near, bench.topics.predictions.name, b"prediction two"))
    throttled_ms, code = struct.unpack_from(">ih", late.deliver())
    assert (throttled_ms, code in FENCED) == (0, True), code

    successor = bench.writer()
    successor.fence()
    whole = ["one"] if ending == "commit" else []
    assert bench.committed("predictions") == [f"prediction {name}".encode() for name in whole]
    assert bench.committed("journal") == [f"journal {name}".encode() for name in whole]
    far.proxy.judge = lambda _key, _message: Verdict.PASS
    far.proxy.cut()
    thread.join()


def test_a_client_that_gets_no_answer_to_offsets_is_left_and_the_next_one_goes_on(far: Far) -> None:
    """The commit fails in seconds, though the client itself may wait for good; its batch is written once."""
    with closing(KafkaBench(far.near)) as bench:
        writer = bench.writer(servers=far.far)
        writer.fence()
        group = bench.log().group()
        far.proxy.forget()
        far.proxy.judge = lambda key, _: Verdict.HOLD if key == TXN_OFFSET_COMMIT else Verdict.PASS
        with pytest.raises(ShardFailed, match="no answer to the offsets"):
            writer.commit(batch("one"), group)
        writer.close()

        far.proxy.forget()
        successor = bench.writer(servers=far.far)
        successor.fence()
        successor.commit(batch("two"), group)
        assert bench.committed("predictions") == [b"prediction two"]


def doomed(writer: KafkaWriter, commit: Commit) -> None:
    """Try to commit what a successor's fence will end."""
    with pytest.raises(ShardFailed):
        writer.commit(commit, None)


def in_log(servers: str, topic: str, value: bytes) -> bool:
    """Whether the partition holds this value, committed or not; counts would depend on control records."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "none",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, SHARD, 0)])
    try:
        while (message := consumer.poll(10.0)) is not None and message.error() is None:
            if message.value() == value:
                return True
        return False
    finally:
        consumer.close()
