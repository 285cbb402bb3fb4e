"""Offsets that were reset, on a real broker: the remedy works, and no event is answered twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_app.adapters.kafka_admin import TopicAdmin
from stream_app.adapters.kafka_replay import FIRST_LOOK_BACK, KafkaReplay
from stream_app.embedded.services import Endpoints
from tests.integration.test_upgrade import DELAY, HALF, Changing
from topics.catalog import catalog

MORE = 20


def test_an_upgrade_sets_offsets_that_were_reset_to_the_journals(services: Endpoints, tmp_path: Path) -> None:
    """Set back to the beginning, they halt the learner; after the upgrade it goes on, and verifies."""
    app = Changing(services, tmp_path)
    app.produce(0, HALF)
    assert app.learn().returncode == 0
    admin = AdminClient({"bootstrap.servers": app.servers})
    back = ConsumerGroupTopicPartitions(app.name, [TopicPartition(f"{app.name}.events", 0, 3)])
    admin.alter_consumer_group_offsets([back])[app.name].result()
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
    inputs = (topics.commands.name, topics.events.name, topics.labels.name)
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
