"""`stream-app models`: which models there are and why, on a stream whose concept flips; orders to shards."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from stream_app.adapters.signing import public_key
from stream_app.embedded.services import Endpoints
from stream_app.model_file import load
from tests.integration.command_line import CommandLine, Done
from tests.integration.learners import Defined, Learners, Rows

BEFORE = AFTER = 3_000  # events on each side of the flip, over two shards
WITHIN_S = 120.0
DEFINITION = """
from river import naive_bayes, tree
from stream_app.application import Application
app = Application(
    name={name!r}, task="binary", shards=2, champion=lambda seed: tree.HoeffdingTreeClassifier(),
    challengers={{"bayes": lambda seed: naive_bayes.GaussianNB()}},
)
"""
FIELDS = {
    *("shard", "version", "slot", "kind", "status", "parent", "since_ms", "learned", "rolling", "failed"),
    *("why", "weight"),
}


def flipping() -> Rows:
    """X in [0, 1]; the label is x > 0.5, and from the middle on x <= 0.5."""
    dice = random.Random(7)
    values = [dice.random() for _ in range(BEFORE + AFTER)]
    return [({"x": x}, (x > 0.5) == (i < BEFORE)) for i, x in enumerate(values)]


class Live:
    """An application whose two shards have swapped, and a learner beside it."""

    def __init__(self, learners: Learners, app: Defined) -> None:
        self.learners, self.app = learners, app

    def models(self, verb: str, *arguments: str) -> Done:
        """`stream-app models VERB APP …`."""
        return self.learners.call("models", verb, self.app.target, *arguments)

    def order(self, verb: str, *arguments: str) -> Done:
        """The same for an order, patient enough."""
        return self.models(verb, *arguments, "--reason", "a test", "--actor", "me", "--timeout", "60")

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """What `ls --json` prints."""
        done = self.models("ls", *arguments, "--json")
        assert done.code == 0, done.err
        return done.lines()

    def had(self, *arguments: str) -> bytes:
        """What `stream-app models …` prints that pins its hash seed: a process of its own."""
        verb, *rest = arguments
        command = ("stream_app", "models", verb, self.app.target, *rest)
        process = self.learners.spawn(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self.learners.finish(process)

    def status_of(self, version: int, shard: int) -> str:
        """One model's status."""
        found = self.listed("--all", "--shard", str(shard))
        return next(str(model["status"]) for model in found if model["version"] == version)

    def settled(self) -> bool:
        """All is read, and the statistics show it."""
        shards = self.learners.call("status", self.app.target, "--json").lines()
        return sum(shard["learned"] or 0 for shard in shards) > 0 and not any(
            shard["lag"] or not shard["stats_fresh"] for shard in shards
        )


@pytest.fixture(scope="module")
def live(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One learner for all tests of this file that need models; they run in the order of the file."""
    directory = tmp_path_factory.mktemp("models")
    learners = Learners(services, directory)
    name = learners.call.name
    file = directory / f"{name}_models.py"
    file.write_text(DEFINITION.format(name=name))
    app = Defined(name, f"{file}:app", "tree", 2)
    done = learners.call("topics", "create", app.target)
    assert done.code == 0, done.err
    learners.produce(app, flipping(), "flip", "--inline-label", "label")
    with learners.spawn(
        "stream_app", "learn", app.target, "--no-admission", "--no-supervise", stderr=subprocess.DEVNULL
    ) as learner:
        try:
            found = Live(learners, app)
            deadline_s = time.monotonic() + WITHIN_S
            while not found.settled():
                assert time.monotonic() < deadline_s
                time.sleep(0.3)
            yield found
        finally:
            learner.terminate()


def test_both_shards_have_swapped_and_ls_tells_every_model(live: Live) -> None:
    """One object per living model: a candidate serves, its parent is a challenger now."""
    for shard in (0, 1):
        models = live.listed("--shard", str(shard))
        assert [set(model) for model in models] == [FIELDS] * len(models)
        serving, *others = models
        assert (serving["status"], serving["parent"], serving["kind"] in {"fresh", "warm"}) == (
            "serving",
            1,
            True,
        )
        assert serving["learned"] > 1_000
        assert serving["rolling"]["accuracy"] > 0.9
        before = next(model for model in others if model["version"] == 1)
        assert (before["status"], before["since_ms"]) == ("challenger", serving["since_ms"])
        assert "retired" not in {model["status"] for model in others}
        assert "retired" in {model["status"] for model in live.listed("--shard", str(shard), "--all")}


def test_people_see_a_table_for_each_shard(live: Live) -> None:
    """Version, slot, kind, status, parent, time, what was learned, the rolling score, and why."""
    out = live.models("ls").out
    assert ("shard 0" in out, "shard 1" in out) == (True, True)
    (line, *_) = (line for line in out.splitlines() if " serving " in line)
    assert "UTC" in line
    assert "accuracy 0." in line
    assert "it loses less on the same rows" in out


def test_show_prints_the_whole_receipt(live: Live) -> None:
    """As it stands in the log under <shard>/<version>."""
    version = live.listed("--shard", "1")[0]["version"]
    done = live.models("show", "--version", str(version), "--shard", "1", "--json")
    (receipt,) = done.lines()
    logged = live.learners.call("consume", live.app.target, "models", "--json").lines()
    newest = [line["value"] for line in logged if line["key"] == f"1/{version}"][-1]
    assert receipt.pop("snapshot") is None or receipt["status"] == "serving"
    assert receipt == newest
    told = live.models("show", "--version", str(version), "--shard", "1").out
    assert told.startswith("shard 1: champion-")
    assert '"e_value"' in told


def test_why_tells_the_alarm_and_the_evidence(live: Live) -> None:
    """Which model serves since when, what it replaced, who saw what, and both losses on the same rows."""
    done = live.models("why", "--shard", "0")
    assert done.code == 0, done.err
    serving = live.listed("--shard", "0")[0]
    assert f"{serving['slot']} v{serving['version']} serves since 20" in done.out
    for told in (
        "It replaced champion v1.",
        "The hunt began with an alarm: the detector",
        "as a share of wrong answers",
        "the same",
        "Read it as a bet",
        "however often one looks",
        "The newest scores of served predictions at that moment: ",
        "champion accuracy 0.",
    ):
        assert told in done.out
    (line,) = live.models("why", "--shard", "0", "--json").lines()
    assert line["test"]["e_value"] >= line["test"]["threshold"] > 1
    assert line["test"]["champion_loss"] > line["test"]["rival_loss"]
    assert line["alarm"]["after"] > line["alarm"]["before"]
    assert line["order"] is None
    assert done.out.splitlines()[1:] == [f"  {sentence}" for sentence in line["words"]]


def test_why_tells_first_models_challengers_and_the_retired_too(live: Live) -> None:
    """Each from its own receipt."""
    first = live.models("why", "--version", "1", "--shard", "0").out
    assert "champion v1 served until 20" in first
    assert "took over. It learns on beside the model that serves" in first
    assert "a challenger of the definition" in live.models("why", "--version", "2", "--shard", "0").out
    gone = next(model for model in live.listed("--shard", "0", "--all") if model["status"] == "retired")
    told = live.models("why", "--version", str(gone["version"]), "--shard", "0").out
    assert f"{gone['slot']} v{gone['version']} ended at 20" in told
    assert "It was started to replace champion v1." in told


def test_a_replaced_champion_is_had_back_and_loaded(live: Live) -> None:
    """As it was when it last served, it knows the old concept; the file needs a public key alone."""
    file = live.learners.directory / "v1.model"
    card = orjson.loads(
        live.had("get", "--version", "1", "--shard", "0", "--served", "--save", str(file), "--json")
    )
    serving, *others = live.listed("--shard", "0")
    now = next(model for model in others if model["version"] == 1)
    assert (card["version"], card["status"], card["as_of"]) == (1, "challenger", "served")
    assert 0 < card["learned"] < now["learned"]
    assert card["data"]["from"]["positions"]["events"] == 0
    assert 0 < card["data"]["to"]["positions"]["events"] < BEFORE + AFTER
    model, read = load(file, keys=[public_key(bytes.fromhex("5a" * 32))])
    assert read == card
    assert (model.predict_one({"x": 0.9}), model.predict_one({"x": 0.1})) == (True, False)
    later = live.learners.directory / "now.model"
    live.had("get", "--version", str(serving["version"]), "--shard", "0", "--save", str(later))
    model, _ = load(later, keys=[public_key(bytes.fromhex("5a" * 32))])
    assert (model.predict_one({"x": 0.9}), model.predict_one({"x": 0.1})) == (False, True)


def test_a_retired_candidate_is_had_back_as_it_ended(live: Live) -> None:
    """Whatever snapshots there are: the journal is replayed to the record that retired it."""
    gone = next(model for model in live.listed("--shard", "0", "--all") if model["status"] == "retired")
    version, file = str(gone["version"]), live.learners.directory / "gone.model"
    out = live.had("get", "--version", version, "--shard", "0", "--save", str(file)).decode()
    assert out.startswith(f"{gone['slot']} v{version} of {live.app.name}, shard 0\n")
    assert "the record with which it ended" in out
    assert load(file, keys=[public_key(bytes.fromhex("5a" * 32))])[1]["status"] == "retired"


def test_two_versions_are_compared_on_the_same_rows(live: Live) -> None:
    """The retired candidate and the champion: their receipts, and how often they disagree."""
    gone = next(model for model in live.listed("--shard", "0", "--all") if model["status"] == "retired")
    serving = live.listed("--shard", "0")[0]["version"]
    found = orjson.loads(live.had("diff", str(gone["version"]), str(serving), "--shard", "0", "--json"))
    assert [one["version"] for one in found["versions"]] == [gone["version"], serving]
    assert [one["status"] for one in found["versions"]] == ["retired", "serving"]
    assert found["not_had"] == []
    assert found["answers"]["rows"] >= 300
    assert 0 <= found["answers"]["different"] <= 1


@pytest.mark.parametrize(
    ("arguments", "why", "fix"),
    [
        (["ls", "--shard", "2"], "there is no shard 2", "has shards 0 to 1"),
        (["why", "--shard", "7"], "there is no shard 7", "has shards 0 to 1"),
        (["why", "--version", "99"], "there is no version 99", "There are champion"),
        (["show", "--version", "99", "--shard", "1"], "there is no version 99 in shard 1", "bayes v2"),
        (["promote"], "no model is named", "either --version V or --slot NAME"),
        (["drop"], "no model is named", "`models drop`"),
        (["promote", "--version", "2", "--slot", "bayes"], "a model is named twice", "either --version V"),
        (["promote", "--version", "99"], "there is no version 99", "bayes v2"),
        (["promote", "--slot", "nobody"], "there is no slot 'nobody'", "bayes v2"),
        (["drop", "--version", "2", "--shard", "2"], "there is no shard 2", "has shards 0 to 1"),
        (["rollback", "--shard", "2"], "there is no shard 2", "has shards 0 to 1"),
    ],
)
def test_wrong_words_are_usage_errors_with_their_fix(
    live: Live, arguments: list[str], why: str, fix: str
) -> None:
    """Exit 2, what is wrong, what there is instead, and no command in the log."""
    order = ["--reason", "a test"] if arguments[0] in {"promote", "drop", "rollback"} else []
    done = live.models(*arguments, *order)
    assert (done.code, why in done.err, fix in done.err) == (2, True, True), done.err
    assert live.learners.committed(live.app, "commands") == []


def test_a_retired_model_cannot_be_promoted(live: Live) -> None:
    """Its weights are gone: a usage error, which names the living."""
    gone = next(model for model in live.listed("--shard", "0", "--all") if model["status"] == "retired")
    done = live.order("promote", "--version", str(gone["version"]), "--shard", "0")
    assert done.code == 2
    assert "is retired and cannot come back; fix: There are" in done.err


def test_an_order_needs_a_reason(live: Live) -> None:
    """Who comes later wants to know why."""
    assert live.models("rollback").code == 2


def test_rollback_brings_the_model_of_before_back_and_is_told(live: Live) -> None:
    """One shard alone; v1 serves again, its successor is gone, and `why` names who ordered it."""
    successor = live.listed("--shard", "0")[0]["version"]
    done = live.order("rollback", "--shard", "0")
    assert (done.code, done.out) == (0, "shard 0 done: champion v1 serves again\n"), done.err
    assert (live.status_of(1, 0), live.status_of(successor, 0)) == ("serving", "retired")
    assert live.status_of(1, 1) == "challenger"
    told = live.models("why", "--shard", "0").out
    assert "It came back in place of champion-" in told
    assert "me ordered it: a test." in told
    done = live.order("rollback", "--shard", "0", "--json")
    (line,) = done.lines()
    assert (done.code, line["outcome"]) == (1, "refused")
    assert set(line) == {"shard", "command_id", "outcome", "why"}


def test_promote_goes_to_all_shards_and_each_answers(live: Live) -> None:
    """By the slot's name; a second time each shard refuses, exit 1."""
    done = live.order("promote", "--slot", "bayes", "--json")
    assert done.code == 0, done.err
    assert [(line["shard"], line["outcome"]) for line in done.lines()] == [(0, "done"), (1, "done")]
    assert (live.status_of(2, 0), live.status_of(2, 1)) == ("serving", "serving")
    told = live.models("why").out
    assert told.count("me ordered it: a test. An order asks for no evidence.") == 2
    again = live.order("promote", "--version", "2")
    assert (again.code, again.out.count("refused: bayes v2 serves already")) == (1, 2)


def test_drop_ends_a_model_that_does_not_serve(live: Live) -> None:
    """The serving one is refused; the other is retired with who said so, and cannot be named any more."""
    done = live.order("drop", "--version", "2", "--shard", "0")
    assert (done.code, "serves; promote another one first" in done.out) == (1, True)
    done = live.order("drop", "--slot", "champion", "--shard", "0")
    assert (done.code, done.out) == (0, "shard 0 done: champion v1 is dropped\n"), done.err
    assert "dropped by me: a test" in live.models("why", "--version", "1", "--shard", "0").out
    assert 1 not in {model["version"] for model in live.listed("--shard", "0")}
    done = live.order("drop", "--version", "1", "--shard", "0")
    assert (done.code, "version 1 is retired" in done.err) == (2, True)


def test_a_replay_carries_out_the_same_orders(live: Live) -> None:
    """Swaps, rollback, promotions and drop are journaled: every digest is equal from the beginning."""
    verify = live.learners.spawn(
        "stream_app", "verify", live.app.target, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lines = [orjson.loads(line) for line in live.learners.finish(verify).splitlines()]
    assert {(line["shard"], line["equal"]) for line in lines} == {(0, True), (1, True)}


def test_without_any_learner_that_is_what_is_told(created: CommandLine) -> None:
    """`ls` and `why` end well and say it for each shard; what names a model is a usage error."""
    for verb in ("ls", "why"):
        done = created("models", verb, created.target)
        assert (done.code, done.out.count("no learner ever ran; start one")) == (0, 2), done.err
        assert created("models", verb, created.target, "--json").out == ""
    for arguments in (["show", "--version", "1"], ["promote", "--version", "1", "--reason", "a test"]):
        done = created("models", arguments[0], created.target, *arguments[1:])
        assert (done.code, "there is no version 1" in done.err, "No learner ever ran" in done.err) == (
            2,
            True,
            True,
        )


def test_without_a_learner_an_order_stays_in_the_log(created: CommandLine) -> None:
    """Exit 3 with the remedy, each shard told as unanswered."""
    done = created("models", "rollback", created.target, "--reason", "later", "--timeout", "0.3", "--json")
    assert (done.code, "Start a learner; the command stays in the log" in done.err) == (3, True)
    assert [line["outcome"] for line in done.lines()] == ["unanswered", "unanswered"]
    orders = created("consume", created.target, "commands", "--json").lines()
    assert [order["value"]["command"] for order in orders] == ["rollback", "rollback"]


def test_missing_topics_are_refused(stream_app: CommandLine) -> None:
    """With the command that creates them."""
    for verb in ("ls", "why"):
        done = stream_app("models", verb, stream_app.target)
        assert (done.code, "topics create" in done.err) == (3, True)
