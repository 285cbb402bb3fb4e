"""Records as other people's producers write them, each form in a topic of its own, on real Kafka."""

from __future__ import annotations

import json
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream_app.client import CommittedReader
from stream_app.embedded.services import Endpoints
from tests.faults.learners import until
from tests.integration.learners import Learners

NOW_MS = time.time_ns() // 1_000_000
CHANGE = {
    "before": None,
    "after": {"id": 7, "amount": 12.5},
    "source": {"table": "orders"},
    "op": "c",
    "ts_ms": 1,
}
BODY = json.dumps({"event_id": "framed", "features": {"amount": 1.5}}).encode()
OWN = 'id="event_id", within="features"'

# The line to write → the records, each with its key and the event that is meant: id, entity, features.
Meant = tuple[str, str, dict[str, Any]] | None
FORMS: dict[str, list[tuple[bytes, Any, Meant]]] = {
    'id="id", key="@key.id", envelope="debezium"': [
        (b'{"id":7}', CHANGE, ("7", "7", {"amount": 12.5})),
        (b'{"id":7}', None, None),
    ],
    'id="id"': [(b"7", {"id": "o1", "amount": 12.5}, ("o1", "7", {"amount": 12.5}))],
    'envelope="cloudevents"': [
        (
            b"7",
            {"specversion": "1.0", "id": "c1", "type": "order", "source": "/x", "data": {"amount": 12.5}},
            ("c1", "7", {"amount": 12.5}),
        )
    ],
    f'{OWN}, ignore=["__deleted", "items"]': [
        (
            b"7",
            {"event_id": "e1", "features": {"amount": 12.5, "__deleted": "false"}},
            ("e1", "7", {"amount": 12.5}),
        ),
        (
            b"7",
            {"event_id": "e3", "features": {"amount": 12.5, "items": [1, 2]}},
            ("e3", "7", {"amount": 12.5}),
        ),
    ],
    OWN: [
        (
            b"7",
            {"event_id": "e2", "features": {"amount": 12.5, "coupon": None}},
            ("e2", "7", {"amount": 12.5, "coupon": None}),
        ),
        (
            b"7",
            {"event_id": "e4", "features": {"amount": 12.5, "geo": {"lat": 1.0}}},
            ("e4", "7", {"amount": 12.5, "geo.lat": 1.0}),
        ),
        (b"7", {"event_id": 12345, "features": {"amount": 12.5}}, ("12345", "7", {"amount": 12.5})),
        (
            b"7",
            {"event_id": "e5", "features": {"created_at": NOW_MS, "amount": 1}},
            ("e5", "7", {"created_at": NOW_MS, "amount": 1}),
        ),
        (
            b"7",
            b'{"event_id": "nan", "features": {"amount": NaN, "x": 1}}',
            ("nan", "7", {"amount": None, "x": 1}),
        ),
        (b"7", b"\xef\xbb\xbf" + BODY.replace(b"framed", b"bom"), ("bom", "7", {"amount": 1.5})),
    ],
    f'{OWN}, format="json-schema"': [
        (b"7", b"\x00" + struct.pack(">i", 17) + BODY, ("framed", "7", {"amount": 1.5}))
    ],
    f'{OWN}, keys="int32"': [
        (struct.pack(">i", 7), BODY.replace(b"framed", b"i"), ("i", "7", {"amount": 1.5}))
    ],
    f'{OWN}, keys="int64"': [
        (
            struct.pack(">q", 7_000_000_000),
            BODY.replace(b"framed", b"l"),
            ("l", "7000000000", {"amount": 1.5}),
        ),
        (
            struct.pack(">q", 0x4142434445464748),
            BODY.replace(b"framed", b"long"),
            ("long", "4702394921427289928", {"amount": 1.5}),
        ),
    ],
}
DEFINITION = """
from river import linear_model
from stream_app import Application, Inputs, Topic

app = Application(
    name={name!r}, task="regression", shards=2, inputs=Inputs(events=[{topics}]),
    champion=lambda seed: linear_model.LinearRegression(),
)
"""


@pytest.fixture
def learners(services: Endpoints, tmp_path: Path) -> Learners:
    """Commands on the session's servers."""
    return Learners(services, tmp_path)


def define(learners: Learners) -> tuple[str, list[str]]:
    """Topics that exist, and a definition that names them."""
    names = [f"{learners.call.name}.form{n}" for n in range(len(FORMS))]
    admin = AdminClient({"bootstrap.servers": learners.servers})
    for future in admin.create_topics([NewTopic(name, 3, 1) for name in names]).values():
        future.result()
    topics = ", ".join(f"Topic({name!r}, {form})" for name, form in zip(names, FORMS, strict=True))
    file = learners.directory / "forms.py"
    file.write_text(DEFINITION.format(name=learners.call.name, topics=topics))
    return f"{file}:app", names


def test_each_form_is_read_as_it_is_meant_and_predicted(learners: Learners) -> None:
    """Sixteen records of nine forms: `inputs try` shows them, the bridge writes them, a learner predicts."""
    target, names = define(learners)
    producer = Producer({"bootstrap.servers": learners.servers})
    meant: dict[str, Any] = {}
    for name, records in zip(names, FORMS.values(), strict=True):
        for key, value, event in records:
            body = value if isinstance(value, bytes | None) else json.dumps(value).encode()
            producer.produce(name, body, key, timestamp=NOW_MS)
            if event is not None:
                meant[event[0]] = event[1:]
    producer.flush(20)
    assert learners.call("topics", "create", target).code == 0

    tried = learners.call("inputs", "try", target, "--json", "--max", "20")
    assert tried.code == 0, tried.out + tried.err
    shown = {
        row["id"]: (row["entity"], row["features"]) for row in tried.lines() if row["becomes"] == "event"
    }
    assert shown == meant
    assert [row["why"] for row in tried.lines() if row["becomes"] == "skipped"] == ["a tombstone"]

    bridge = learners.spawn("stream_app", "bridge", target, "--exit-when-idle", "0.5")
    learners.finish(bridge)
    with CommittedReader(learners.servers, f"{learners.call.name}.events", until_end=True) as reader:
        written = {(v := orjson.loads(r.value))["event_id"]: (r.key.decode(), v["features"]) for r in reader}
    assert written == meant

    learn = learners.spawn("stream_app", "learn", target, "--no-admission", "--exit-when-idle", "0.5")
    learners.finish(learn)
    with CommittedReader(learners.servers, f"{learners.call.name}.predictions", until_end=True) as reader:
        assert sorted(orjson.loads(record.value)["event_id"] for record in reader) == sorted(meant)


def test_all_partitions_are_bridged_by_time_however_short_the_idle_time(learners: Learners) -> None:
    """One that has not answered yet is waited for, in the order as at the end."""
    target, names = define(learners)
    assert learners.call("topics", "create", target).code == 0
    producer = Producer({"bootstrap.servers": learners.servers})
    for n in range(600):
        value = b'{"id": "%d", "x": 1}' % n
        producer.produce(names[1], value, b"7", partition=n % 3, timestamp=NOW_MS - 600 + n)
    producer.flush(20)
    (found,) = [c for c in learners.call("doctor", target, "--json").lines() if c["check"] == "bridge"]
    assert (found["state"], found["detail"]) == ("warn", "600 records are not copied yet, 0 bridges")
    learners.finish(learners.spawn("stream_app", "bridge", target, "--exit-when-idle", "0.001"))
    with CommittedReader(learners.servers, f"{learners.call.name}.events", until_end=True) as reader:
        assert [orjson.loads(r.value)["event_id"] for r in reader] == [f"{n}" for n in range(600)]


def test_a_letter_of_the_bridge_is_bridged_once_the_definition_fits(learners: Learners) -> None:
    """Sent back, it is read as a record of its topic, which stays as it is; a misfit is a letter again."""
    name = learners.call.name
    topic, file = f"{name}.trips", learners.directory / "trips.py"
    admin = AdminClient({"bootstrap.servers": learners.servers})
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result()
    form = DEFINITION.format(name=name, topics=f"Topic({topic!r}, ID)")
    file.write_text(form.replace("ID", 'id="number"'))
    target = f"{file}:app"
    assert learners.call("topics", "create", target).code == 0
    producer = Producer({"bootstrap.servers": learners.servers})
    for value in (b'{"trip": "t1", "x": 1}', b'{"x": 2}'):
        producer.produce(topic, value, b"7", partition=2)
    producer.flush(20)
    learners.finish(learners.spawn("stream_app", "bridge", target, "--exit-when-idle", "0.001"))
    assert learners.call("consume", target, "events", "--json").lines() == []

    assert "Say in inputs= what such records mean" in learners.call("dlq", "ls", target).out
    file.write_text(form.replace("ID", 'id="trip"'))
    assert learners.call("dlq", "retry", target, "--all", "--json").lines()[0]["sent"] == 2
    learners.finish(learners.spawn("stream_app", "bridge", target, "--exit-when-idle", "0.001"))
    with CommittedReader(learners.servers, f"{name}.events", until_end=True) as reader:
        (event,) = reader
    assert (event.key, orjson.loads(event.value)["event_id"]) == (b"7", "t1")
    assert dict(event.headers)["__stream_app.source"] == f"{topic}/2/0".encode()
    letters = learners.call("dlq", "show", target, "--json").lines()
    assert [(letter["retries"], letter["source"]) for letter in letters][2:] == [(1, letters[1]["source"])]
    with CommittedReader(learners.servers, topic, until_end=True) as reader:
        assert len(list(reader)) == 2


def define_over_one(learners: Learners, word: str, partitions: int) -> tuple[str, str, str]:
    """Create a topic, and an application over it alone: its name, the topic's, the definition."""
    name, topic = f"{learners.call.name}-{word}", f"{learners.call.name}.{word}"
    file = learners.directory / f"{word}.py"
    admin = AdminClient({"bootstrap.servers": learners.servers})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
    file.write_text(DEFINITION.format(name=name, topics=f"Topic({topic!r}, id='id')"))
    assert learners.call("topics", "create", f"{file}:app").code == 0
    return name, topic, f"{file}:app"


def test_a_bridge_whose_positions_are_forgotten_bridges_nothing_again(learners: Learners) -> None:
    """Brokers forget the positions of a group that was away for days: it is refused, with what to do."""
    name, topic, target = define_over_one(learners, "kept", partitions=2)
    admin = AdminClient({"bootstrap.servers": learners.servers})
    producer = Producer({"bootstrap.servers": learners.servers})
    producer.produce(topic, b'{"id": "a", "x": 1}', b"7", partition=1)
    producer.flush(20)
    bridge = ("stream_app", "bridge", target, "--exit-when-idle", "0.001")
    learners.finish(learners.spawn(*bridge))
    learners.finish(learners.spawn(*bridge))
    admin.delete_consumer_groups([f"{name}.bridge"])[f"{name}.bridge"].result()
    again = learners.spawn(*bridge, "--no-supervise", stderr=subprocess.PIPE)
    said = again.communicate(timeout=60)[1].decode()
    assert again.returncode == 3, said
    assert f"forgotten the positions of group {name}.bridge" in said
    assert f"--reset-offsets --group {name}.bridge --topic TOPIC --to-datetime" in said
    assert len(learners.call("consume", target, "events", "--json").lines()) == 1


def test_a_bridge_that_was_killed_before_its_first_commit_begins_anew(learners: Learners) -> None:
    """What it aborted is no sign that there were positions: they are not taken for forgotten."""
    name, _, target = define_over_one(learners, "first", partitions=1)
    killed = Producer({"bootstrap.servers": learners.servers, "transactional.id": f"{name}.bridge"})
    killed.init_transactions(20)
    killed.begin_transaction()
    killed.produce(f"{name}.bridge", None, partition=0)
    killed.flush(20)
    killed.abort_transaction(20)
    learners.finish(learners.spawn("stream_app", "bridge", target, "--exit-when-idle", "0.001"))


def test_a_bridge_whose_positions_are_older_than_its_own_notes_bridges_nothing_again(
    learners: Learners,
) -> None:
    """A broker may lose the newest positions: it is refused, and the command that it names mends it."""
    name, topic, target = define_over_one(learners, "older", partitions=1)
    admin = AdminClient({"bootstrap.servers": learners.servers})
    producer = Producer({"bootstrap.servers": learners.servers})
    for n in range(3):
        producer.produce(topic, b'{"id": "%d", "x": 1}' % n, b"7", partition=0)
    producer.flush(20)
    bridge = ("stream_app", "bridge", target, "--exit-when-idle", "0.001")
    learners.finish(learners.spawn(*bridge))

    def place(offset: int) -> None:
        wanted = ConsumerGroupTopicPartitions(f"{name}.bridge", [TopicPartition(topic, 0, offset)])
        admin.alter_consumer_group_offsets([wanted])[f"{name}.bridge"].result()

    place(1)
    again = learners.spawn(*bridge, "--no-supervise", stderr=subprocess.PIPE)
    said = again.communicate(timeout=60)[1].decode()
    assert again.returncode == 3, said
    assert f"the broker has position 1 of {topic}:0, and the bridge had committed 3" in said
    assert f"--topic {topic}:0 --to-offset 3" in said
    place(3)
    learners.finish(learners.spawn(*bridge))
    assert len(learners.call("consume", target, "events", "--json").lines()) == 3


def test_a_topic_that_is_created_again_is_bridged_from_its_beginning(learners: Learners) -> None:
    """Also while a bridge runs, and though it already holds more records than were bridged of the old one."""
    name, topic = f"{learners.call.name}-g", f"{learners.call.name}.again"
    file = learners.directory / "again.py"
    admin = AdminClient({"bootstrap.servers": learners.servers})
    producer = Producer({"bootstrap.servers": learners.servers})

    def fill(prefix: str, n: int) -> None:
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
        for i in range(n):
            producer.produce(topic, f'{{"id": "{prefix}{i}", "x": 1}}'.encode(), b"7")
        producer.flush(20)

    fill("a", 5)
    file.write_text(DEFINITION.format(name=name, topics=f"Topic({topic!r}, id='id')"))
    assert learners.call("topics", "create", f"{file}:app").code == 0
    bridge = learners.spawn("stream_app", "bridge", f"{file}:app")

    def ids() -> set[str]:
        lines = learners.call("consume", f"{file}:app", "events", "--json").lines()
        return {line["value"]["event_id"] for line in lines}

    until(lambda: len(ids()) == 5, 60, lambda: "no first events")
    admin.delete_topics([topic])[topic].result()
    time.sleep(1.0)
    fill("b", 15)
    wanted = {f"a{i}" for i in range(5)} | {f"b{i}" for i in range(15)}
    until(lambda: ids() == wanted, 90, lambda: f"missing {sorted(wanted - ids())}")
    bridge.terminate()
    bridge.wait(30)


def test_a_record_that_does_not_fit_is_shown_before_anything_runs(learners: Learners) -> None:
    """`inputs try` ends with 1 and says which line to write."""
    target, names = define(learners)
    producer = Producer({"bootstrap.servers": learners.servers})
    producer.produce(names[1], b'{"no": "id"}', b"7")
    producer.flush(20)
    tried = learners.call("inputs", "try", target)
    assert tried.code == 1
    assert "unmapped  there is no 'id' in the record, which has no" in tried.out
    assert f"{names[0]} holds no records" in tried.out


def test_what_the_learner_would_refuse_and_what_no_record_has_is_shown_too(learners: Learners) -> None:
    """A missing required feature, a label of another task; a label, a path and a type that are misspelt."""
    topic, file = f"{learners.call.name}.odd", learners.directory / "odd.py"
    admin = AdminClient({"bootstrap.servers": learners.servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    how = f"Topic({topic!r}, id='id', label='y', features={{'temp': 'at.temperture', 'x': 'x'}})"
    form = DEFINITION.format(name=f"{learners.call.name}-o", topics=how)
    file.write_text(form.replace("inputs=", "required=['x'], types={'vibes': 'bool'}, inputs="))
    producer = Producer({"bootstrap.servers": learners.servers})
    for value in ({"id": "a", "x": 1}, {"id": "b", "z": 1}, {"id": "c", "x": 1, "at": {"temperature": 2}}):
        producer.produce(topic, json.dumps(value).encode(), b"7")
    producer.flush(20)
    tried = learners.call("inputs", "try", f"{file}:app")
    assert tried.code == 1
    assert "dead letter  bad-feature  feature 'x' is missing, which the definition names" in tried.out
    assert f"none of the 3 events of {topic} has the label 'y': is it misspelt?" in tried.err
    assert "none of the 3 events has the feature 'temp' (at 'at.temperture'): is it misspelt?" in tried.err
    assert "none of the 3 events has the feature 'vibes': is it misspelt?" in tried.err
    assert "'x'" not in tried.err


def test_a_topic_that_does_not_exist_is_refused_by_its_name(learners: Learners) -> None:
    """By `inputs try` and by the bridge, with what to do."""
    file = learners.directory / "missing.py"
    file.write_text(
        DEFINITION.format(name=f"{learners.call.name}-m", topics="Topic('no.such.topic', id='id')")
    )
    created = learners.call("topics", "create", f"{file}:app")
    assert created.code == 3, "the nine and the bridge's own are there, the input is not"
    assert "differs no.such.topic" in created.out
    tried = learners.call("inputs", "try", f"{file}:app")
    bridge = learners.spawn("stream_app", "bridge", f"{file}:app", "--no-supervise", stderr=subprocess.PIPE)
    said = bridge.communicate(timeout=60)[1].decode()
    assert (tried.code, bridge.returncode) == (3, 3)
    for text in (tried.err, said):
        assert "no.such.topic" in text
        assert "Correct its name in inputs=, create it, or let this user describe it" in text


def test_a_topic_that_may_lose_records_before_they_are_bridged_is_named(learners: Learners) -> None:
    """`topics check` looks at the user's topics too, and changes nothing of them."""
    name = f"{learners.call.name}.short"
    short = {"retention.ms": "3600000", "cleanup.policy": "compact,delete"}
    admin = AdminClient({"bootstrap.servers": learners.servers})
    for future in admin.create_topics([NewTopic(name, 3, 1, config=short)]).values():
        future.result()
    file = learners.directory / "short.py"
    file.write_text(DEFINITION.format(name=f"{learners.call.name}-s", topics=f"Topic({name!r}, id='id')"))
    created = learners.call("topics", "create", f"{file}:app")
    assert created.code == 1, created.err
    assert f"differs {name} (read by the bridge: 3 partitions into 2 shards)" in created.out
    assert "keeps records for 1 h" in created.out
    assert "is compacted" in created.out
