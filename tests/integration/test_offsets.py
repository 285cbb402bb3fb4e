"""Offsets that were reset, on a real broker: the remedy works, and no event is answered twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_app.adapters import kafka_replay
from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_replay import FIRST_LOOK_BACK, KafkaReplay
from stream_app.embedded.services import Endpoints
from tests.integration.test_upgrade import DELAY, HALF, Changing
from topics.catalog import catalog

MORE = 20


def test_an_upgrade_sets_offsets_that_were_reset_to_the_journals(services: Endpoints, tmp_path: Path) -> None:
    """Set back, the journal decides and an alert says so. Set forward, they halt the learner; after the
    upgrade it goes on, and verifies.
    """
    app = Changing(services, tmp_path)
    app.produce(0, HALF)
    assert app.learn().returncode == 0
    set_offset(app, 3)
    assert app.learn().returncode == 0
    (behind,) = [value for _, value in app.read("alerts") if value["type"] == "offsets-behind"]
    assert behind["evidence"]["committed"][1] == 3
    set_offset(app, 1_000_000)
    halted = app.learn()
    assert halted.returncode == 3
    assert "offsets were reset" in halted.stderr
    (done,) = app.upgrade()
    assert (done["epoch"], done["given_up"]) == (0, [])
    with TopicAdmin({"bootstrap_servers": app.servers}) as topics:
        positions = topics.group(app.name).positions
    assert positions[f"{app.name}.events", 0] >= HALF
    assert positions[f"{app.name}.labels", 0] >= HALF - DELAY
    app.produce(HALF, HALF + MORE)
    assert app.learn().returncode == 0
    told = Counter(value["event_id"] for _, value in app.read("predictions"))
    assert told == Counter(str(n) for n in range(HALF + MORE))
    proof = app.run("verify", app.target)
    assert proof.returncode == 0, proof.stdout + proof.stderr


def set_offset(app: Changing, offset: int) -> None:
    """Set the group's offset of the events, as Kafka's own tool does."""
    admin = AdminClient({"bootstrap.servers": app.servers})
    wanted = ConsumerGroupTopicPartitions(app.name, [TopicPartition(f"{app.name}.events", 0, offset)])
    admin.alter_consumer_group_offsets([wanted])[app.name].result()


def test_offsets_are_read_though_a_transaction_of_another_never_ends(
    services: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that remembers a transaction which is over must not keep a shard from its recovery."""
    monkeypatch.setattr(kafka_replay, "COMMITTED_TIMEOUT_S", 1.0)
    name = f"t{uuid4().hex[:10]}"
    topics = catalog(name, 1)
    with TopicAdmin({"bootstrap_servers": services.bootstrap_servers}) as admin:
        admin.create(topics)
    inputs = topics.inputs
    servers = {"bootstrap.servers": services.bootstrap_servers}
    producer = Producer({**servers, "transactional.id": f"{name}-other"})
    producer.init_transactions(30)
    member = Consumer({**servers, "group.id": name}).consumer_group_metadata()
    for offset, ends in ((5, True), (9, False)):
        producer.begin_transaction()
        producer.send_offsets_to_transaction(
            [TopicPartition(topic, 0, offset) for topic in inputs], member, 30
        )
        if ends:
            producer.commit_transaction(30)
    source = KafkaReplay(servers, name, 0, topics.journal.name, topics.predictions.name, inputs)
    try:
        assert source.committed() == [5, 5, 5]
    finally:
        source.close()
        producer.abort_transaction(30)


@pytest.mark.parametrize("written", [True, False], ids=["a prediction", "none"])
def test_the_newest_prediction_is_found_behind_all_that_was_aborted(
    services: Endpoints, written: bool
) -> None:
    """Aborted transactions, control records and what other programs wrote hide no committed prediction."""
    name = f"t{uuid4().hex[:10]}"
    topics = catalog(name, 1)
    with TopicAdmin({"bootstrap_servers": services.bootstrap_servers}) as admin:
        admin.create(topics)
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "transactional.id": name})
    producer.init_transactions(30)
    for offset in range(8 if written else 0):
        producer.begin_transaction()
        producer.produce(topics.predictions.name, b'{"offset": %d, "shard": 0}' % offset, partition=0)
        producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(topics.predictions.name, b"not ours", partition=0)
    producer.commit_transaction(30)
    for _ in range(FIRST_LOOK_BACK // 2 + 8):
        producer.begin_transaction()
        producer.produce(topics.predictions.name, b'{"offset": 99, "shard": 0}', partition=0)
        producer.flush(30)
        producer.abort_transaction(30)
    inputs = topics.inputs
    source = KafkaReplay(
        {"bootstrap.servers": services.bootstrap_servers},
        name,
        0,
        topics.journal.name,
        topics.predictions.name,
        inputs,
    )
    try:
        assert source.predicted() == (7 if written else None)
    finally:
        source.close()
