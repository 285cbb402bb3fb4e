"""`stream-app command`: orders carried out by each shard, and told."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine, Done
from tests.integration.learners import Defined, Learners
from topics.placement import partition_for

ROWS = [({"x": n}, n % 2 == 0) for n in range(40)]


class Live:
    """An application of two shards with a learner beside it."""

    def __init__(self, learners: Learners, app: Defined) -> None:
        self.learners, self.app = learners, app

    def command(self, *arguments: str) -> Done:
        """`stream-app command APP …`, patient enough for a learner that has just begun."""
        return self.learners.call(
            "command", self.app.target, *arguments, "--reason", "a test", "--timeout", "60"
        )

    def status(self) -> list[bool]:
        """By shard: is it paused?"""
        return [shard["paused"] for shard in self.learners.call("status", self.app.target, "--json").lines()]


@pytest.fixture(scope="module")
def live(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One learner for all tests of this file that need an answer."""
    learners = Learners(services, tmp_path_factory.mktemp("command"))
    app = learners.define({"it": ("bayes", 2)})["it"]
    learners.produce(app, ROWS, "rows", "--inline-label", "label")
    with learners.spawn(
        "stream_app", "learn", app.target, "--no-admission", "--no-supervise", stderr=subprocess.DEVNULL
    ) as learner:
        try:
            yield Live(learners, app)
        finally:
            learner.terminate()


def test_every_shard_answers_and_the_answer_is_json(live: Live) -> None:
    """One object per shard, the same command id throughout; pause and resume are done, exit 0."""
    for order in ("pause", "resume"):
        done = live.command(order, "--json", "--actor", "me")
        assert done.code == 0, done.err
        lines = done.lines()
        assert [line["shard"] for line in lines] == [0, 1]
        assert [set(line) for line in lines] == [{"shard", "command_id", "outcome", "why"}] * 2
        assert {line["outcome"] for line in lines} == {"done"}
        assert len({line["command_id"] for line in lines}) == 1
    orders = live.learners.committed(live.app, "commands")
    assert [order["actor"] for order in orders] == ["me"] * 4
    assert [order["reason"] for order in orders] == ["a test"] * 4


def test_one_shard_is_commanded_alone(live: Live) -> None:
    """`--shard 1` asks that shard only, and a person reads its answer."""
    done = live.command("resume", "--shard", "1")
    assert (done.code, done.out) == (0, "shard 1 done: a test\n")


def test_forget_goes_to_the_entitys_shard(live: Live) -> None:
    """The key decides by murmur2; the answer says what forgetting cannot do."""
    done = live.command("forget", "--key", "e7", "--json")
    assert done.code == 0, done.err
    (line,) = done.lines()
    assert line["shard"] == partition_for(b"e7", 2)
    assert "cannot unlearn" in line["why"]


def test_without_a_learner_the_command_stays_in_the_log(created: CommandLine) -> None:
    """Exit 3 with the remedy, each shard told as unanswered; a learner that starts later carries it out."""
    done = created("command", created.target, "pause", "--reason", "later", "--timeout", "0.3", "--json")
    assert done.code == 3
    assert [line["outcome"] for line in done.lines()] == ["unanswered", "unanswered"]
    assert "Start a learner; the command stays in the log" in done.err
    assert len(created("consume", created.target, "commands", "--json").lines()) == 2
    learners = Learners(created.services, created.directory)
    flags = ("--no-admission", "--no-supervise", "--exit-when-idle", "0.5")
    learners.finish(learners.spawn("stream_app", "learn", created.target, *flags, stderr=subprocess.PIPE))
    outcomes = created("consume", created.target, "models", "--json").lines()
    told = {line["key"]: line["value"]["outcome"] for line in outcomes if "/command/" in line["key"]}
    assert list(told.values()) == ["done", "done"]
    assert [line["paused"] for line in created("status", created.target, "--json").lines()] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["explode"], "unknown command 'explode'"),
        (["promote"], "promote concerns models; fix: Use `stream-app models promote"),
        (["forget"], "forget concerns one entity"),
        (["forget", "--key", "e", "--shard", "0"], "forget concerns one entity"),
        (["pause", "--key", "e"], "pause concerns whole shards"),
        (["pause", "--shard", "2"], "there is no shard 2"),
        (["forget", "--key", ""], "a record needs a key"),
    ],
)
def test_words_that_do_not_fit_are_usage_errors(created: CommandLine, arguments: list[str], why: str) -> None:
    """Exit 2 with the reason, and nothing is written."""
    done = created("command", created.target, *arguments, "--reason", "a test", "--timeout", "0.1")
    assert (done.code, why in done.err) == (2, True), done.err
    assert created("consume", created.target, "commands", "--json").out == ""


def test_a_command_needs_a_reason(created: CommandLine) -> None:
    """Who comes later wants to know why."""
    assert created("command", created.target, "pause").code == 2


def test_missing_topics_are_refused(stream_app: CommandLine) -> None:
    """With the command that creates them."""
    done = stream_app("command", stream_app.target, "pause", "--reason", "a test")
    assert (done.code, "topics create" in done.err) == (3, True)
