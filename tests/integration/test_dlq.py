"""`stream-app dlq`: what was refused, why, and the way back."""

from __future__ import annotations

import subprocess
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, TopicPartition

from stream_app.client import CommittedReader, EventProducer
from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine, Done
from tests.integration.learners import Defined, Learners

HOUR_MS = 3_600_000
UNTEACHABLE = """
from stream_app.application import Application
class Unteachable:
    def predict_proba_one(self, x): return {{True: 0.5, False: 0.5}}
    def predict_one(self, x): return True
    def learn_one(self, x, y): raise KeyError("lesson")
app0 = Application(name={name!r}, task="binary", champion=lambda seed: Unteachable())
"""
FIELDS = {
    *("partition", "offset", "timestamp_ms", "reason", "message", "stage", "source", "retries"),
    *("key", "value", "headers", "cut"),
}
NESTED = b'{"event_id":"%s","features":{"x":[1]}}'  # which our own producer would refuse
NONE = {"sent": 0, "exhausted": 0, "foreign": 0, "settled": 0, "lost": 0}


class Story:
    """One shard: three records refused, all sent back, two of them refused again."""

    def __init__(self, learners: Learners, app: Defined) -> None:
        self.learners, self.app = learners, app
        now_ms = time.time_ns() // 1_000_000
        with EventProducer(app.name, learners.servers) as producer:
            raw = producer.producer
            raw.send(f"{app.name}.events", b"{", b"k", headers=[("trace", b"7")], timestamp_ms=now_ms)
            raw.send(f"{app.name}.events", NESTED % b"nested", b"k", timestamp_ms=now_ms)
            producer.label("k", "early", True, time=now_ms - 1_000 * HOUR_MS)
            producer.send("k", {"x": 1.0}, "much later", time=now_ms)
        self.learn()
        self.first = self.dlq("ls", "--json").lines()
        self.shown = self.dlq("show", "--json").lines()
        self.table = self.dlq("ls").out
        with EventProducer(app.name, learners.servers) as producer:
            producer.send("k", {"x": 2.0}, "early")
        self.orphan = self.dlq("retry", "--reason", "label-orphan")
        self.others = self.dlq("retry", "--reason", "malformed", "--reason", "bad-feature", "--json")
        self.learn()
        self.second = self.dlq("show", "--json").lines()
        (self.status,) = learners.call("status", app.target, "--json").lines()
        self.after = self.dlq("ls").out
        self.again = self.dlq("retry", "--all", "--json")

    def dlq(self, verb: str, *arguments: str) -> Done:
        """`stream-app dlq VERB APP …`."""
        return self.learners.call("dlq", verb, self.app.target, *arguments)

    def learn(self) -> None:
        """A learner, to the end of its inputs."""
        flags = ("--no-admission", "--no-supervise", "--exit-when-idle", "0.5")
        process = self.learners.spawn("stream_app", "learn", self.app.target, *flags, stderr=subprocess.PIPE)
        self.learners.finish(process)


@pytest.fixture(scope="module")
def story(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The whole of it, once."""
    learners = Learners(services, tmp_path_factory.mktemp("dlq"))
    return Story(learners, learners.define({"it": ("bayes", 1)})["it"])


def by_reason(letters: list[dict[str, Any]], reason: str) -> list[dict[str, Any]]:
    """The letters of one reason, the oldest first."""
    return [letter for letter in letters if letter["reason"] == reason]


def test_ls_counts_by_reason_and_names_the_fix(story: Story) -> None:
    """One object per reason: its count, its newest letter, and what to do about it; people read the same."""
    assert [set(line) for line in story.first] == [
        {"reason", "count", "failed_again", "messages", "newest", "fix"}
    ] * 3
    assert {line["reason"]: line["count"] for line in story.first} == {
        "malformed": 1,
        "bad-feature": 1,
        "label-orphan": 1,
    }
    assert all(line["fix"] for line in story.first)
    assert "1 malformed (newest " in story.table
    assert "1 × feature 'x'" in story.table
    assert story.table.count("fix: ") == 3


def test_consume_tells_a_person_the_reason(story: Story) -> None:
    """Between the key and the value, which alone would not say it."""
    told = story.learners.call("consume", story.app.target, "dead-letters").out.splitlines()
    assert {line.split("\t")[2] for line in told[:3]} == {"bad-feature", "label-orphan", "malformed"}


def test_show_gives_the_record_as_it_came(story: Story) -> None:
    """Why, where from, and the original key, value and headers untouched, even where they are no JSON."""
    assert [set(letter) for letter in story.shown] == [FIELDS] * 3
    (letter,) = by_reason(story.shown, "malformed")
    source = {"topic": f"{story.app.name}.events", "partition": 0, "offset": 0, "copied_from": None}
    assert letter["source"] == source
    assert (letter["key"], letter["value"]) == ("k", {"base64": "ew=="})
    assert letter["headers"] == {"trace": "7"}
    assert (letter["stage"], letter["retries"]) == ("validate", 0)
    (letter,) = by_reason(story.shown, "bad-feature")
    assert "'x'" in letter["message"]
    one = story.dlq("show", f"{letter['partition']}:{letter['offset']}", "--json").lines()
    assert one == [letter]


def test_a_record_that_can_be_used_now_is_used(story: Story) -> None:
    """The orphaned label, sent back after its event came, is learned."""
    assert story.orphan.code == 0, story.orphan.err
    assert story.orphan.out == "sent 1 back\n"
    assert story.status["learned"] == 1


def test_what_fails_again_is_a_new_letter_that_counts_its_retries(story: Story) -> None:
    """The same record, unchanged, one retry older."""
    assert story.others.lines() == [{**NONE, "sent": 2}]
    old, new = by_reason(story.second, "malformed")
    assert (old["retries"], new["retries"]) == (0, 1)
    for name in ("key", "value", "headers", "reason"):
        assert old[name] == new[name]
    assert "2 malformed (newest " in story.after
    assert story.after.count(", 1 of them sent back and refused again)") == 2


def test_a_letter_that_came_back_is_sent_through_its_newest_copy(story: Story) -> None:
    """Five letters stand there, two of them superseded: three go, or each retry would double them."""
    assert len(story.second) == 5
    assert story.again.lines() == [{**NONE, "sent": 3}]


def test_what_could_not_be_learned_is_not_sent_back(services: Endpoints, tmp_path: Path) -> None:
    """A label at which the champion raised counts as come: a retry is refused, with the reason."""
    learners = Learners(services, tmp_path)
    app = learners.define({"it": ("bayes", 1)})["it"]
    Path(app.target.removesuffix(":app0")).write_text(UNTEACHABLE.format(name=app.name))
    with EventProducer(app.name, learners.servers) as producer:
        producer.label("k", producer.send("k", {"x": 1.0}, "lost"), True)
        producer.producer.send(f"{app.name}.events", NESTED % b"bad", b"k")
    flags = ("--no-admission", "--no-supervise", "--exit-when-idle", "0.5")
    learners.finish(learners.spawn("stream_app", "learn", app.target, *flags, stderr=subprocess.PIPE))
    letters = learners.call("dlq", "show", app.target, "--json").lines()
    assert {letter["reason"]: letter["stage"] for letter in letters} == {
        "model-error": "learn",
        "bad-feature": "validate",
    }
    told = learners.call("dlq", "retry", app.target, "--reason", "model-error", "--force")
    assert (told.code, told.out.splitlines()[0]) == (0, "sent 0 back")
    assert "would be dropped as a duplicate" in told.out
    (counts,) = learners.call("dlq", "retry", app.target, "--all", "--json").lines()
    assert counts == {**NONE, "sent": 1, "settled": 1}


@pytest.mark.parametrize(
    ("verb", "arguments", "why"),
    [
        ("show", ["9:9"], "there is no dead letter at 9:9"),
        ("show", ["--reason", "bad-mood"], "there is no reason bad-mood"),
        ("retry", [], "nothing is chosen"),
        ("retry", ["here"], "there is no dead letter at here"),
    ],
)
def test_a_wrong_call_is_a_usage_error(
    created: CommandLine, verb: str, arguments: list[str], why: str
) -> None:
    """Exit 2 with the fix."""
    done = created("dlq", verb, created.target, *arguments)
    assert (done.code, why in done.err) == (2, True), done.err


def test_none_are_told_as_none(created: CommandLine) -> None:
    """An empty list is no error."""
    assert created("dlq", "ls", created.target).out == "no dead letters\n"
    assert created("dlq", "ls", created.target, "--json").out == ""


def test_missing_topics_are_refused(stream_app: CommandLine) -> None:
    """With the command that creates them."""
    done = stream_app("dlq", "ls", stream_app.target)
    assert (done.code, "topics create" in done.err) == (3, True)


def test_eight_mebibytes_of_zeros_stop_no_shard(services: Endpoints, tmp_path: Path) -> None:
    """The input takes the record compressed and no letter takes it whole: it is cut, and sent back whole."""
    learners = Learners(services, tmp_path)
    app = learners.define({"it": ("bayes", 1)})["it"]
    bomb = b"0" * (8 << 20)
    producer = Producer(
        {
            "bootstrap.servers": learners.servers,
            "compression.type": "gzip",
            "message.max.bytes": 16 << 20,
        }
    )
    for value in (b'{"event_id":"a","features":{"x":1}}', bomb, b'{"event_id":"b","features":{"x":1}}'):
        producer.produce(f"{app.name}.events", value, b"k", 0)
    assert producer.flush(30) == 0
    flags = ("--no-admission", "--no-supervise", "--exit-when-idle", "0.5")
    learners.finish(learners.spawn("stream_app", "learn", app.target, *flags, stderr=subprocess.PIPE))
    assert [made["event_id"] for made in learners.committed(app, "predictions")] == ["a", "b"]
    (letter,) = learners.call("dlq", "show", app.target, "--json").lines()
    assert (letter["reason"], letter["source"]["offset"]) == ("too-large", 1)
    whole = {"parts": ["value"], "value_bytes": len(bomb), "sha256": sha256(bomb).hexdigest()}
    assert letter["cut"] == whole
    assert "the record did not fit a letter" in learners.call("dlq", "show", app.target).out
    assert learners.call("dlq", "retry", app.target, "--all", "--json").lines() == [{**NONE, "sent": 1}]
    with CommittedReader(learners.servers, f"{app.name}.events", until_end=True) as reader:
        assert [record.value == bomb for record in reader] == [False, True, False, True]
    admin = KafkaAdminClient(bootstrap_servers=learners.servers)
    admin.delete_records({TopicPartition(f"{app.name}.events", 0): 2})
    admin.close()
    assert learners.call("dlq", "retry", app.target, "--all", "--json").lines() == [{**NONE, "lost": 1}]
    assert "no longer in the input" in learners.call("dlq", "retry", app.target, "--all").out
